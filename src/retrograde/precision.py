"""`reduced`: a function with its matrix products in bfloat16 or float16, everything else as it is.

Mixed precision after P. Micikevicius et al., "Mixed precision training", ICLR 2018, with the roundings where they pay: a product
rounds its float32 operands and adds in float32; elementwise operations and sums stay in float32. With `rg.vjp(..., hold=dtype)`
what the backward pass needs is held in the narrow dtype too, and is then the very operand of the products that read it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from retrograde.errors import UnsupportedError
from retrograde.ir import Equation, Graph, evaluate
from retrograde.ops.matmul import matmul
from retrograde.trace import trace_to_graph
from retrograde.tree import tree_leaves, tree_unflatten
from retrograde.types import is_bfloat16


def narrow_dtype(dtype: Any) -> np.dtype:
    """The dtype, if products may be reduced to it: bfloat16 or float16."""
    dtype = np.dtype(dtype)
    if dtype != np.float16 and not is_bfloat16(dtype):
        raise UnsupportedError(f"reduced precision is bfloat16 (rg.bfloat16) or float16 (np.float16), not {dtype}")
    return dtype


def reduced(f: Callable, dtype: Any) -> Callable:
    """`f` with the operands of its float32 products rounded to `dtype`, bfloat16 or float16, and their sums in float32.

    The same holds for the products of its derivatives. Arguments and results keep their dtypes. Where the processor has
    AVX512-BF16, compiled products of bfloat16 are twice as fast; elsewhere, and in float16, they are products of float32 with
    rounded operands. `f` is traced, so Python's control flow must not depend on values. Other dtypes raise `UnsupportedError`.
    """
    precision = narrow_dtype(dtype)

    @functools.wraps(f)
    def wrapped(*args: Any) -> Any:
        graph, structure = trace_to_graph(f, args)
        leaves = [leaf for arg in args for leaf in tree_leaves(arg)]
        with np.errstate(all="ignore"):
            return tree_unflatten(structure, evaluate(_in_precision(graph, precision), leaves))

    return wrapped


def _in_precision(graph: Graph, precision: np.dtype) -> Graph:
    equations = [_reduced(eq, precision) for eq in graph.equations]
    return Graph(graph.inputs, equations, graph.outputs, graph.constants)


def _reduced(eq: Equation, precision: np.dtype) -> Equation:
    if eq.primitive is matmul and not eq.params and eq.outputs[0].type.dtype == np.float32:
        return eq.replace(eq.inputs, precision=precision)
    nested = {name: _in_precision(value, precision) for name, value in eq.params.items() if isinstance(value, Graph)}
    return eq.replace(eq.inputs, **nested) if nested else eq
