"""LLVM's just-in-time compiler on this machine's own processor."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm

from retrograde.errors import CompileError
from retrograde.runtime.passes import optimize
from retrograde.runtime.symbols import provide


@dataclass(frozen=True)
class Host:
    """The processor that code is made for: the width of its vectors, and whether it multiplies bfloat16 in pairs."""

    cpu: str
    features: str
    vector_bytes: int
    pairs: bool = False


@functools.lru_cache(maxsize=1)
def host() -> Host:
    """This machine's processor, with its full vectors in use."""
    _initialize()
    found = llvm.get_host_cpu_features()
    features = found.flatten()
    if found.get("avx512f"):
        return Host(llvm.get_host_cpu_name(), features + ",-prefer-256-bit", 64, bool(found.get("avx512bf16")))
    return Host(llvm.get_host_cpu_name(), features, 32 if found.get("avx") else 16)


@functools.lru_cache(maxsize=1)
def _initialize() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def target_machine(h: Host | None = None) -> Any:
    """A target machine for this processor; an execution engine takes the one it is given for its own.

    For any other `Host` its code is to be linked by others, at any address.
    """
    _initialize()
    target = llvm.Target.from_default_triple()
    how: dict[str, Any] = {"jit": True, "codemodel": "jitdefault"} if h is None else {"reloc": "pic", "codemodel": "default"}
    h = h or host()
    return target.create_target_machine(cpu=h.cpu, features=h.features, opt=3, **how)


def compiler() -> dict[str, Any]:
    """All that object code depends on besides the text it is made from: for the key of a cache."""
    h, version = host(), sys.modules["llvmlite"].__version__
    versions = {"llvmlite": version, "llvm": llvm.llvm_version_info, "triple": llvm.get_default_triple()}
    return {**versions, "cpu": h.cpu, "features": h.features, "vector_bytes": h.vector_bytes}


def compile_ir(text: str) -> bytes:
    """The object code that this IR becomes: a file's content, without absolute addresses."""
    machine = target_machine()
    return machine.emit_object(optimize(text, machine))


class NativeModule:
    """Machine code in memory, loaded from object code; it stays there as long as this object does."""

    def __init__(self, code: bytes):
        provide(code)
        machine = target_machine()
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()

    def address(self, name: str) -> int:
        """The address of a function."""
        found = self._engine.get_function_address(name)
        if not found:
            raise CompileError(f"the compiled module has no function {name!r}")
        return found


def optimized(text: str) -> str:
    """What LLVM's passes make of this IR, for reading."""
    return str(optimize(text, target_machine()))


def assembly(text: str) -> str:
    """The machine code of this IR as assembly, for reading."""
    machine = target_machine()
    return machine.emit_assembly(optimize(text, machine))
