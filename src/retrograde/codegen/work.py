"""How long an equation takes, roughly, and whether threads can split its outputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from retrograde.codegen.convolution import convolution_scratch
from retrograde.codegen.loops import space_of
from retrograde.codegen.products import finished_scratch, product_scratch
from retrograde.ir import Equation, Graph, Var
from retrograde.ops.control import by_rows, fused, product, straight
from retrograde.ops.convolve import convolve
from retrograde.ops.matmul import matmul

BYTES_PER_NS = 40.0  # of one core, from and to the second cache or memory
CALL_NS = 10.0


class Work(NamedTuple):
    """Estimated nanoseconds on one thread; whether outputs can be split; bytes of memory that each thread wants."""

    ns: float
    splits: bool
    scratch: int


def work_of(vector_bytes: int) -> Callable[[Equation], Work]:
    """The estimate for a processor with vectors of this width."""

    def work(eq: Equation) -> Work:
        moved = sum(a.type.nbytes for a in (*eq.inputs, *eq.outputs)) / BYTES_PER_NS
        if eq.primitive is matmul:
            rate = 12.8 * vector_bytes / eq.inputs[0].type.dtype.itemsize  # flops a ns: four fifths of two FMAs at 4 GHz
            return Work(CALL_NS + max(eq.flops / rate, moved), eq.flops >= 20_000, product_scratch(eq, vector_bytes))
        if eq.primitive is product:
            first, *_, nest = map(work, eq.params["body"].equations)
            convolves = eq.params["body"].equations[0].primitive is convolve
            return Work(first.ns + nest.ns, first.splits, first.scratch if convolves else finished_scratch(eq, vector_bytes))
        if eq.primitive is convolve:
            rate = 3.2 * vector_bytes / eq.inputs[0].type.dtype.itemsize
            return Work(CALL_NS + max(eq.flops / rate, moved), eq.flops >= 20_000, convolution_scratch(eq))
        if eq.primitive is fused:
            body: Graph = eq.params["body"]
            per_ns = vector_bytes / 2
            flops = sum(_flops(inner) for inner in body.equations)
            read = sum(_bytes_read(body, v) for v in body.inputs)
            moved = (read + sum(o.type.nbytes for o in eq.outputs)) / BYTES_PER_NS
            return Work(CALL_NS + max(flops / per_ns, moved), _has_free_axis(body), 0)
        if eq.primitive is by_rows:
            steps = sum(_flops(inner) for inner in eq.params["body"].equations) * eq.params["length"]
            return Work(CALL_NS + steps / (vector_bytes / 4), False, 0)
        if eq.primitive is straight:
            return Work(CALL_NS + sum(_flops(inner) for inner in eq.params["body"].equations) / 4, False, 0)
        return Work(CALL_NS + max(4 * moved, eq.flops / 4), eq.primitive.shares, 0)

    return work


def _flops(eq: Equation) -> float:
    return max(eq.flops, math.prod(eq.outputs[0].type.shape))


def _bytes_read(body: Graph, operand: Var) -> float:
    """How much of an operand a loop nest reads: all, but of a table that it only picks elements from what it picks."""
    readers = [eq for eq in body.equations if operand in eq.inputs]
    if any(eq.primitive.lowering != "element" for eq in readers):
        return operand.type.nbytes
    return min(operand.type.nbytes, sum(map(_flops, readers)) * operand.type.dtype.itemsize)


def _has_free_axis(body: Graph) -> bool:
    """Whether some axis of the iteration space is summed over by no reduction."""
    reduced = {a for eq in body.equations if eq.primitive.lowering == "reduction" for a in eq.params["axes"]}
    return any(n > 1 and a not in reduced for a, n in enumerate(space_of(body)))
