"""`Primitive`: one operation, whole, in one place.

A primitive is made by its family's file in `ops/`; the `def_*` decorators hang its type rule, its meaning in NumPy, its
pullback, its lowering, its batching rule and its samples on it. Every stage asks the primitive and knows none by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from retrograde.errors import DifferentiationError
from retrograde.types import ArrayType

REGISTRY: dict[str, Primitive] = {}

_inside: ContextVar[tuple[Any, int]] = ContextVar("inside", default=(None, 0))


@contextmanager
def inside(builder: Any, keeps: bool) -> Iterator[None]:
    """While a body of control flow is traced by `builder`. One that `keeps` records all that is done with traced values.

    Elsewhere what is done with values from outside is recorded there: a loop computes it once. A branch may not: it would be
    done whether the branch is taken or not.
    """
    floor, _ = _inside.get()
    token = _inside.set((builder if keeps else floor, builder.level))
    try:
        yield
    finally:
        _inside.reset(token)


def innermost_level() -> int:
    """The level of the body of control flow that is being traced; 0 for none."""
    return _inside.get()[1]


def _recorder(args: Sequence[Any]) -> Any:
    """Who records what is done with these arguments; None where all are plain."""
    builder = None
    for arg in args:
        other = getattr(arg, "_builder", None)
        if other is not None and (builder is None or other.level > builder.level):
            builder = other
    floor = _inside.get()[0]
    return floor if builder is not None and floor is not None and floor.level > builder.level else builder


class Primitive:
    """One operation of the graph.

    `formula` is for people, with `{0}`, `{1}` ... for the operands. `flops` is a number per output element, or a
    function of the input types and parameters to the whole count. `multiple` says that it has a tuple of outputs.
    """

    def __init__(
        self, name: str, *, formula: str = "", flops: float | Callable[..., float] = 1.0, multiple: bool = False
    ):
        if name in REGISTRY:
            raise ValueError(f"a primitive named {name!r} exists already; give each its own name")
        self.name = name
        self.formula = formula
        self.flops = flops
        self.multiple = multiple
        self.type_rule: Callable[..., Any] = _missing(name, "type rule")
        self.reference: Callable[..., Any] = _missing(name, "reference")
        self.pullback: Any = None
        self.push: Callable[..., Any] | None = None
        self.keeping: Callable[..., dict[str, Any]] | None = None
        self.lowering: str | None = None
        self.lower: Any = None
        self.batch: Callable[..., Any] | None = None
        self.cut: Callable[..., bool] | None = None
        self.align: Callable[..., Sequence[Any]] | None = None
        self.samples: Callable[[], list] | None = None
        self.moves = False  # a kernel that only moves elements: its reference works on elements of any kind, 0 for none
        self.overwrites: int | None = None  # a kernel's operand in whose memory its output may be written, if nobody reads it on
        self.lines: tuple[int, ...] = ()  # the operands whose last axis its kernel reads as lines of memory
        self.scratch: Callable[..., int] | None = None  # bytes of working memory that its kernel wants
        self.shares = False  # whether its kernel gives each thread of a team a part of its work
        self.solo: Callable[..., bool] | None = None  # whether a library does it that may bring threads of its own
        self.ufunc: Any = None  # the NumPy ufunc whose promotion rules it follows, where there is one
        REGISTRY[name] = self

    def __repr__(self) -> str:
        return self.name

    def __call__(self, *args: Any, **params: Any) -> Any:
        """Apply to plain arrays (NumPy answers) or record in the innermost trace among the arguments."""
        builder = _recorder(args)
        return self.reference(*args, **params) if builder is None else builder.record(self, args, params)

    def beside(self, other: Any, *args: Any, **params: Any) -> Any:
        """As a call, but recorded in the trace of `other`, also where the arguments are plain."""
        return _recorder((other, *args)).record(self, args, params)

    def def_type(self, rule: Callable) -> Callable:
        """`rule(*types, **params) -> ArrayType`, or a tuple of them when `multiple`."""
        self.type_rule = rule
        return rule

    def def_reference(self, rule: Callable) -> Callable:
        """`rule(*arrays, **params) -> array(s)`: what it means, in NumPy."""
        self.reference = rule
        return rule

    def def_pullback(self, rule: Callable) -> Callable:
        """`rule(ct, out, *inputs, **params) -> cotangents of the inputs`, None where there is none.

        Written in ops, so that it is traced, differentiated again and compiled; whatever of `out` and `inputs` it does
        not read is not kept for the backward pass.
        """
        self.pullback = rule
        return rule

    def def_push(self, rule: Callable) -> Callable:
        """`rule(primals, tangents, **params) -> (outputs, their tangents)`, None for a zero tangent.

        For an operation with a graph inside, which runs that graph on values and tangents together. All others have their
        push-forward from their pullback.
        """
        self.push = rule
        return rule

    def def_keeping(self, rule: Callable) -> Callable:
        """`rule(varying, inputs, **params) -> params`: the same operation with more outputs behind its own, for its pullback.

        For an operation with a graph inside, whose pullback reads values from within. `varying` says of each input whether
        a derivative by it is wanted; the pullback is told so too, by keyword. `inputs` is None where there are none yet.
        """
        self.keeping = rule
        return rule

    def def_lower(self, kind: str) -> Callable[[Callable], Callable]:
        """Declare the lowering's kind: `elementwise`, `reduction`, `view`, `element` or `kernel` (see `codegen`).

        An operation of kind `graph` is not lowered: its graph takes its place first (`optimize/inline.py`).
        """

        def decorate(rule: Callable) -> Callable:
            self.lowering, self.lower = kind, rule
            return rule

        return decorate

    def def_batch(self, rule: Callable) -> Callable:
        """`rule(lanes, mapped, *inputs, **params) -> output`: one application for all lanes of `vmap`.

        Inputs that are `mapped` (a bool for each) have one more axis, of length `lanes.size`, in front; so has the output.
        A `multiple` primitive returns (outputs, mapped) instead. Without a rule the primitive is applied lane by lane.
        """
        self.batch = rule
        return rule

    def def_cut(self, rule: Callable) -> Callable:
        """`rule(where, types, out, out_axis, **params) -> bool`: whether it can be computed part by part along an axis.

        `where` says where each input has that axis (None: nowhere), `out_axis` where the output has. True means that parts of
        the inputs give that part of the output, or, where `out_axis` is None, a part of a sum. Shapes and limits among the
        parameters then take the length of the part. Without a rule it is computed whole.
        """
        self.cut = rule
        return rule

    def def_align(self, rule: Callable) -> Callable:
        """`rule(outputs, like) -> outputs`, in NumPy: of outputs that are not unique, those nearest to `like`.

        Such are vectors up to a sign or a phase. Differences of these are what `rg.check` compares the derivative with.
        """
        self.align = rule
        return rule

    def def_samples(self, rule: Callable) -> Callable:
        """`rule() -> [(args, params), ...]`: the inputs from which generated tests start."""
        self.samples = rule
        return rule

    def count_flops(self, input_types: Sequence[ArrayType], output_types: Sequence[ArrayType], params: dict[str, Any]) -> float:
        """Floating-point operations of one application."""
        if callable(self.flops):
            return float(self.flops(*input_types, **params))
        return float(self.flops) * max((t.size for t in output_types), default=0)


def _missing(name: str, what: str) -> Callable:
    def fail(*_args: Any, **_params: Any) -> Any:
        raise DifferentiationError(f"the primitive {name!r} has no {what}; define one with def_* in its ops file")

    return fail
