"""Which of LLVM's passes run on which functions: code that is made of vectors already wants few of them.

Kernels of products come as vector code whose loops and registers were chosen with care. The whole pipeline walks over them
for a quarter of the time of compiling and changes next to nothing, so they go into a module of their own, are cleaned up,
and are linked to the rest, which gets all of it. Loop nests that kernels call, for a piece of their result, are of the rest.
"""

from __future__ import annotations

import re
from typing import Any

import llvmlite.binding as llvm

from retrograde.errors import CompileError

CLEAN_UP = ("always_inliner", "sroa", "simplify_cfg", "instruction_combine", "loop_rotate", "simplify_cfg")
_NAME = re.compile(r'@"?([\w.$-]+)"?\(')
_VECTOR = re.compile(r"<\d+ x (?:half|float|double|i\d+)>")


def optimize(text: str, machine: Any) -> Any:
    """The module that this IR becomes after LLVM's passes."""
    vectors, rest = split(text)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = options.slp_vectorization = True
    options.loop_unrolling = False  # a third of the compile time, for 3 % of speed
    options.loop_interleaving = True
    builder = llvm.create_pass_builder(machine, options)
    module = parse(rest, machine)
    builder.getModulePassManager().run(module, builder)
    if vectors:
        kernels, passes = parse(vectors, machine), llvm.create_new_module_pass_manager()
        for name in CLEAN_UP:
            getattr(passes, f"add_{name}_pass")()
        passes.run(kernels, builder)
        module.link_in(kernels)
    return module


def parse(text: str, machine: Any) -> Any:
    """The module of this IR, for this machine; raises `CompileError` where it is not valid."""
    try:
        module = llvm.parse_assembly(text)
        module.triple, module.data_layout = machine.triple, str(machine.target_data)
        module.verify()
    except RuntimeError as error:
        raise CompileError(f"the generated code is not valid LLVM IR, which is a fault of retrograde: {error}") from None
    return module


def _apart(body: str) -> bool:
    """Whether a function is vector code that nobody wants inlined."""
    return _kept_apart(body) and _VECTOR.search(body) is not None


def _kept_apart(body: str) -> bool:
    return body.startswith("internal") and " noinline" in body[: body.index("\n")]


def split(text: str) -> tuple[str, str]:
    """The IR of the internal functions that are vector code ("" if there are none), and that of all others."""
    head, *found = text.split("\ndefine ")
    functions: dict[str, str] = {}
    for part in found:
        body, _, between = part.partition("\n}\n")  # what stands between two functions belongs to both modules
        functions[_NAME.search(body)[1]] = body
        head += f"\n{between}"
    vectors = {name for name, body in functions.items() if _apart(body)}
    if not vectors:
        return "", text
    calls = {name: {c for c in _NAME.findall(body) if c in functions} for name, body in functions.items()}

    called = {c for name in vectors for c in calls[name] if c not in vectors and _kept_apart(functions[c])}

    def module(own: set[str]) -> str:
        """These functions; of the others that they call, those of the other module are declared, the rest is copied."""
        wanted, lines = list(own), [head]
        for name in wanted:
            wanted += [c for c in calls[name] if c not in wanted and (c in own or c not in vectors | called)]
        for name, body in functions.items():
            body = body.removeprefix("internal ") if name in vectors | called else body
            if name in wanted:
                lines.append(f"define {body}\n}}\n")
            elif any(name in calls[caller] for caller in wanted):
                lines.append(f"declare {body[: body.index(chr(10))].removesuffix(' noinline')}\n")
        return "\n".join(lines)

    return module(vectors), module(functions.keys() - vectors)
