"""Object code that leaves the house: for processors other than this one, with its constants, to be linked by others."""

from __future__ import annotations

import platform
import re

from retrograde.errors import CompileError, UnsupportedError
from retrograde.runtime.llvm import Host, host, target_machine
from retrograde.runtime.passes import optimize, parse
from retrograde.runtime.symbols import wanted

_FUSED = re.compile(r"llvm\.fma\.v")  # of the kernels of products; the functions of one number need it exact


def targets() -> dict[str, Host]:
    """Processors by name: "generic" is the least of this architecture, "native" this machine's own."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return {"generic": Host("generic", "", 16), "native": host()}
    return {
        "generic": Host("x86-64", "", 16), "x86-64-v2": Host("x86-64-v2", "", 16), "x86-64-v3": Host("x86-64-v3", "", 32),
        "x86-64-v4": Host("x86-64-v4", "-prefer-256-bit", 64), "native": host(),
    }  # fmt: skip


def target_of(cpu: str) -> Host:
    """The processor of this name."""
    known = targets()
    if cpu not in known:
        raise CompileError(f"there is no processor {cpu!r} to compile for; choose one of {', '.join(known)}")
    return known[cpu]


def compile_object(text: str, name: str, constants: bytes, target: Host) -> bytes:
    """The object code of this IR, with the memory `NAME_constants`; no symbol but `name` is seen from outside."""
    machine = target_machine(target)
    if target.cpu in ("x86-64", "x86-64-v2"):  # without the instruction it would be a call for each element
        text = _FUSED.sub("llvm.fmuladd.v", text)
    module = optimize(text, machine)
    data = "\\" + constants.hex("\\") if constants else ""
    module.link_in(parse(f'@{name}_constants = constant [{len(constants)} x i8] c"{data}", align 64\n', machine))
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration and value.name != name:
            value.linkage = "internal"
    code = machine.emit_object(module)
    if called := sorted(routine for _, routine in wanted(code)):
        raise UnsupportedError(
            f"this model calls {', '.join(called)}, which SciPy brings to compiled code here and which are nowhere else. Export "
            "what comes before and after such functions (of linear algebra, or special functions) by itself"
        )
    return code
