"""A program as a function that C code can call: pointers to the inputs' elements, then to the outputs'.

It is written around `main`, which takes tables of NumPy's array objects: the function lays out as much of such objects as
`main` reads, their data pointers, and LLVM leaves nothing of them once `main` is inlined. Constants are one stretch of
memory, `NAME_constants`, that is linked in. Working memory is the calling thread's own, so that many threads may call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from retrograde.codegen.module import DATA
from retrograde.codegen.team import AGREED
from retrograde.ir.layout import LINE

I8, I64, PTR = ir.IntType(8), ir.IntType(64), ir.PointerType()
CELLS = AGREED + 64  # bytes of the words by which a team's threads speak to one another, here all zero


def library(
    name: str, inputs: int, outputs: int, places: Sequence[int], held: int, work: int
) -> Callable[[ir.Module, ir.Function], None]:
    """What emits the function `name` around `main`.

    `inputs` and `outputs` are numbers of arrays, `places` those of the constants in their `held` bytes; `work` is bytes, too.
    """

    def around(module: ir.Module, main: ir.Function) -> None:
        main.linkage = "internal"
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [PTR] * (inputs + outputs)), name)
        b = ir.IRBuilder(function.append_basic_block("entry"))
        constants = _memory(module, f"{name}_constants", held)
        constants.global_constant = True
        pointers = [b.gep(constants, [ir.Constant(I64, at)], source_etype=I8) for at in places]
        words = ir.ArrayType(I64, CELLS // 8)
        cells = b.alloca(words)
        b.store(ir.Constant(words, None), cells)
        tables = [_table(b, [*function.args[:inputs], *pointers]), _table(b, function.args[inputs:])]
        b.call(main, [*tables, _work(module, name, work), cells, ir.Constant(I64, 0), ir.Constant(I64, 1)])
        b.ret_void()

    return around


def _table(b: ir.IRBuilder, pointers: Sequence[ir.Value]) -> ir.Value:
    """A table of array objects with these data pointers, and nothing else in them."""
    table = b.alloca(PTR, len(pointers))
    for i, pointer in enumerate(pointers):
        array = b.bitcast(b.alloca(PTR, DATA // 8 + 1), PTR)
        b.store(pointer, b.bitcast(b.gep(array, [ir.Constant(I64, DATA)], source_etype=I8), PTR))
        b.store(array, b.gep(table, [ir.Constant(I64, i)], source_etype=PTR))
    return table


def _work(module: ir.Module, name: str, nbytes: int) -> ir.Value:
    """Working memory of the calling thread."""
    if not nbytes:
        return ir.Constant(PTR, None)
    memory = _memory(module, f"{name}_work", nbytes)
    memory.linkage, memory.storage_class = "internal", "thread_local"
    memory.initializer = ir.Constant(memory.value_type, None)
    return memory


def _memory(module: ir.Module, name: str, nbytes: int) -> ir.GlobalVariable:
    found = ir.GlobalVariable(module, ir.ArrayType(I8, nbytes), name)
    found.align = LINE
    return found
