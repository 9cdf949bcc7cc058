"""`implicit`: a value that was computed without regard to derivatives, with the derivative that its definition gives.

The solution of a x = b has a short derivative in terms of itself, whatever way it was found; to differentiate the way would cost
more and lose digits. So the way is computed from operands through which no derivative goes, and `implicit` ties its result to the
operands. Compiled, nothing is left of it. `rg.check` asks for the value `again`, from the operands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from retrograde.ir import Primitive
from retrograde.ops import elementwise as ew
from retrograde.ops.cofactors import cofactors
from retrograde.ops.complex import conj, imag
from retrograde.ops.linalg import adjoint, eye_like
from retrograde.ops.lu import lu, solve_by_factors
from retrograde.ops.matmul import matmul, swap_last
from retrograde.ops.promote import astype
from retrograde.ops.reduce import sum_
from retrograde.ops.shape import reshape, spread


class Rule(NamedTuple):
    """`value(*operands, **params)` in NumPy; `pullback(ct, value, *operands, **params)` by the first `count` operands."""

    value: Callable[..., Any]
    pullback: Callable[..., tuple]
    count: int


RULES: dict[str, Rule] = {}

implicit = Primitive("implicit", formula="{0}", flops=0)
implicit.__doc__ = "The first operand, whose derivative by the others is what `rule` names; found `again` by its definition."
implicit.def_type(lambda x, *_operands, **_params: x)
implicit.def_lower("view")(lambda layout, **_params: layout)


@implicit.def_reference
def _reference(x: Any, *operands: Any, rule: str, again: bool = False, **params: Any) -> Any:
    return np.asarray(RULES[rule].value(*operands, **params)).astype(x.dtype)[()] if again else x


@implicit.def_batch
def _batch(lanes: Any, mapped: Sequence[bool], *xs: Any, **params: Any) -> Any:
    return implicit(*[spread(lanes, x, m) for x, m in zip(xs, mapped)], **params)


@implicit.def_pullback
def _pullback(ct: Any, z: Any, x: Any, *operands: Any, rule: str, again: bool = False, **params: Any) -> tuple:
    found = RULES[rule].pullback(ct, z, *operands, **params)
    return (None, *found, *[None] * (len(operands) - len(found)))


def _rule(value: Callable[..., Any], count: int = 1) -> Callable[[Callable[..., tuple]], Callable[..., tuple]]:
    def decorate(function: Callable[..., tuple]) -> Callable[..., tuple]:
        RULES[function.__name__] = Rule(value, function, count)
        return function

    return decorate


# -- linear systems --------------------------------------------------------------------------------------------------


def factorize(a: Any) -> tuple:
    """LU's factors and pivots of a matrix, for the functions below; no derivative goes through them."""
    return lu(ew.stop_gradient(a))


def linear_solve(a: Any, b: Any, factors: Any, pivots: Any, transposed: bool = False) -> Any:
    """x with a x = b, or a' x = b: (..., n, n) and (..., n, k), by factors of `a` that are there already."""
    x = solve_by_factors(factors, pivots, ew.stop_gradient(b), transposed)
    return implicit(x, a, b, factors, pivots, rule="linear_system", transposed=transposed)


@_rule(lambda a, b, *_factors, transposed: np.linalg.solve(swap_last(a) if transposed else a, b), count=2)
def linear_system(ct: Any, x: Any, a: Any, b: Any, factors: Any, pivots: Any, *, transposed: bool) -> tuple:
    """Giles (2008), section 2.3.1: by b it is the solution with the transposed matrix."""
    by_b = linear_solve(a, ct, factors, pivots, not transposed)
    return -(matmul(x, swap_last(by_b)) if transposed else matmul(by_b, swap_last(x))), by_b


def log_determinant(value: Any, a: Any, factors: Any, pivots: Any) -> Any:
    """log|det a|, computed elsewhere, as a function of `a`."""
    return implicit(value, a, factors, pivots, rule="log_determinant_of")


def determinant_phase(value: Any, a: Any, factors: Any, pivots: Any) -> Any:
    """det a / |det a| of a complex matrix, computed elsewhere, as a function of `a`."""
    return implicit(value, a, factors, pivots, rule="determinant_phase_of")


def determinant(value: Any, a: Any, factors: Any, pivots: Any) -> Any:
    """det a, computed elsewhere, as a function of `a`."""
    return implicit(value, a, factors, pivots, rule="determinant_of")


@_rule(lambda a, *_factors: np.linalg.slogdet(a)[1])
def log_determinant_of(ct: Any, z: Any, a: Any, factors: Any, pivots: Any) -> tuple:
    """Jacobi's formula (Giles, 2008, section 2.2.4)."""
    ct = astype(reshape(ct, shape=(*ct.shape, 1, 1)), a.dtype)
    return (ct * linear_solve(a, eye_like(a), factors, pivots, transposed=True),)


@_rule(lambda a, *_factors: np.linalg.slogdet(a)[0])
def determinant_phase_of(ct: Any, z: Any, a: Any, factors: Any, pivots: Any) -> tuple:
    """The phase turns with the imaginary part of what Jacobi's formula gives."""
    return log_determinant_of(astype(imag(ct * z), a.dtype) * a.dtype.type(1j), z, a, factors, pivots)


@_rule(lambda a, *_factors: np.linalg.det(a))
def determinant_of(ct: Any, z: Any, a: Any, factors: Any, pivots: Any) -> tuple:
    """Jacobi's formula by cofactors, which singular matrices have, too."""
    found = cofactors(ew.stop_gradient(z), ew.stop_gradient(a), factors, pivots)
    by_entries = implicit(found, a, z, factors, pivots, rule="cofactors_of")
    return (reshape(ct, shape=(*ct.shape, 1, 1)) * by_entries,)


@_rule(lambda a, z, *_factors: cofactors(np.linalg.det(a), a, *lu(a)))
def cofactors_of(ct: Any, c: Any, a: Any, z: Any, factors: Any, pivots: Any) -> tuple:
    """Of z y, with y the inverse transposed: z (<ct, y> y - y ct' y). Not at singular matrices."""
    y = linear_solve(a, eye_like(a), factors, pivots, transposed=True)
    along = sum_(ct * y, axes=(len(a.shape) - 2, len(a.shape) - 1))
    along, z = (reshape(x, shape=(*x.shape, 1, 1)) for x in (along, z))
    return (z * (along * y - matmul(matmul(y, swap_last(ct)), y)),)


# -- the pseudoinverse -----------------------------------------------------------------------------------------------


def pseudoinverse(value: Any, a: Any) -> Any:
    """The pseudoinverse, computed elsewhere, as a function of `a`, while the rank stays."""
    return implicit(value, a, rule="pseudoinverse_of")


@_rule(lambda a: np.linalg.pinv(a))
def pseudoinverse_of(ct: Any, p: Any, a: Any) -> tuple:
    """The transpose of Golub and Pereyra's derivative (1973, theorem 4.3); no difference of singular values is divided by."""
    a, p = conj(a), conj(p)
    back, turned = adjoint(p), adjoint(ct)
    left = turned - matmul(a, matmul(p, turned))  # (1 - a p) ct^H
    right = turned - matmul(matmul(turned, p), a)  # ct^H (1 - p a)
    return (-matmul(back, matmul(ct, back)) + matmul(left, matmul(p, back)) + matmul(matmul(back, p), right),)
