"""A model as a C function: object code of the library's own compiler, a header, and, linked by a C compiler, a shared library."""

from __future__ import annotations

import math
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import retrograde
from retrograde.compile import Library, compile_library
from retrograde.errors import CompileError, ModelError, UnsupportedError
from retrograde.exporting.signature import Traced, traced

C_TYPES = {
    "float32": "float", "float64": "double", "bool": "uint8_t",
    **{f"{u}int{n}": f"{u}int{n}_t" for u in ("", "u") for n in (8, 16, 32, 64)},
}  # fmt: skip
KEYWORDS = frozenset((  # noqa: SIM905
    "main alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class compl "
    "concept const const_cast consteval constexpr constinit continue co_await co_return co_yield decltype default delete do "
    "double dynamic_cast else enum explicit export extern false float for friend goto if inline int long mutable namespace "
    "new noexcept not not_eq nullptr operator or or_eq private protected public register reinterpret_cast requires restrict "
    "return short signed sizeof static static_assert static_cast struct switch template this thread_local throw true try "
    "typedef typeid typename typeof typeof_unqual union unsigned using virtual void volatile wchar_t while xor xor_eq"
).split())  # of C or C++, or what neither lets a function be called
CONTENT = dict[Path, bytes]


def object_file(model: Any, path: Path, **options: Any) -> tuple[CONTENT, str]:
    """`path` as object code, and its header."""
    library, header = _compiled(model, path, **options)
    return {path: library.code, path.with_suffix(".h"): header.encode()}, header


def shared_file(model: Any, path: Path, **options: Any) -> tuple[CONTENT, str]:
    """`path` as a shared library, and its header. Needs a C compiler to link it: $CC, or `cc`."""
    library, header = _compiled(model, path, **options)
    return {path: _linked(library.code, path), path.with_suffix(".h"): header.encode()}, header


def _compiled(
    model: Any, path: Path, example: Any, name: str | None, cpu: str, metadata: dict[str, str]
) -> tuple[Library, str]:
    stem = re.sub(r"\W", "_", path.stem, flags=re.ASCII)
    name = name or f"{'_' if stem[:1].isdigit() else ''}{stem}_predict"
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or name in KEYWORDS:
        raise ModelError(f"{name!r} cannot be the name of a C function; pass another, such as name='model_predict'")
    found = _with_c_names(traced(model, example))
    for what, type_, _ in found.types():
        if type_.dtype.name not in C_TYPES:
            raise UnsupportedError(f"{what} is {type_}, which C has no type for; convert it in the model, such as by astype")
    library = compile_library(found.graph, name, cpu)
    return library, _header(found, name, cpu, library.work, metadata)


def _with_c_names(found: Traced) -> Traced:
    """The same with _ behind a keyword of C or C++, or two where somebody else has that name."""
    taken = {*found.inputs, *found.outputs, *C_TYPES.values()}

    def renamed(name: str) -> str:
        if name not in KEYWORDS and name not in C_TYPES.values():
            return name
        while name in taken or name in KEYWORDS:
            name += "_"
        taken.add(name)
        return name

    return replace(found, inputs=[*map(renamed, found.inputs)], outputs=[*map(renamed, found.outputs)])


def _header(found: Traced, name: str, cpu: str, work: int, metadata: dict[str, str]) -> str:
    parameters = [
        f"{'const ' if given else ''}{C_TYPES[type_.dtype.name]} *{what}" for what, type_, given in found.types()
    ]
    arrays = [
        f"   {what}: {math.prod(type_.shape)} numbers, {list(type_.shape)} in C order{'' if given else ', written'}"
        for what, type_, given in found.types()
    ]
    told = [f"\n   {key}:\n" + "\n".join(f"     {line}" for line in text.splitlines()) for key, text in metadata.items()]
    memory = f"It has {work:,} bytes of working memory for each thread that calls it." if work else "It needs no working memory."
    comment = "\n".join([
        f"/* A model exported by retrograde {retrograde.__version__}, compiled for the processor \"{cpu}\".",
        "",
        *arrays,
        *(line.replace("*/", "* /") for line in told),
        "",
        "   The arrays of a call may not overlap. Any number of threads may call at the same time; nothing is allocated.",
        f"   {memory} Link with -lm. */",
    ])  # fmt: skip
    guard = f"{name.upper()}_H"
    return (
        f"{comment}\n#ifndef {guard}\n#define {guard}\n\n#include <stdint.h>\n\n#ifdef __cplusplus\nextern \"C\" {{\n#endif\n\n"
        f"void {name}({', '.join(parameters)});\n\n#ifdef __cplusplus\n}}\n#endif\n\n#endif\n"
    )


def _linked(code: bytes, path: Path) -> bytes:
    """A shared library of this object code."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if not compiler or shutil.which(compiler[0]) is None:
        raise CompileError(
            f"a shared library is linked by a C compiler, and there is no {' '.join(compiler) or 'cc'} here (name one in $CC); "
            f"{path.with_suffix('.o').name} needs none"
        )
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "model.o"), Path(folder, path.name)
        source.write_bytes(code)
        command = [*compiler, "-shared", "-o", str(made), str(source), "-lm"]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            raise CompileError(f"{shlex.join(command)} failed: {result.stderr.strip()}")
        return made.read_bytes()
