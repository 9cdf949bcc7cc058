"""`Step`: one quantity of a record: its numbers, its formula, its derivatives by what it reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from retrograde.autodiff import backprop
from retrograde.errors import DifferentiationError, ShapeError
from retrograde.explore.formula import ATOM, LONGEST, ONE, PRODUCT, SUM, Formula, derivative_of, sum_of, symbol, write
from retrograde.explore.naming import source_line
from retrograde.explore.steps import Outline, Stage
from retrograde.ir import Graph, Var, evaluate
from retrograde.transforms import jacobian
from retrograde.types import kind_of

if TYPE_CHECKING:
    from retrograde.explore.passes import Passes

JACOBIAN = 50_000_000  # elements of a Jacobian that is still made


@dataclass(eq=False)
class Step:
    """A value of the record.

    `kind` is "step", "parameter" or "input". `formula` and `backward` are the right-hand sides of its own formula and of its
    cotangent's; `local` has for each value that it reads the formula of the derivative by it, in the layout in which
    dl/dread = local · dl/dstep. `value` and `cotangent` are arrays or numbers; an input has no cotangent. That of a complex
    value z is the w of dl = Re(w dz), as the formulas have it; `gradient` is what `rg.grad` gives. `reads` and `readers` are
    names. `source` is the user's (file, line, text), `edges` the equations that lead from each value it reads to it.
    """

    name: str
    kind: str
    op: str
    value: Any
    cotangent: Any
    symbol: Formula
    formula: Formula
    backward: Formula | None = None
    local: dict[str, Formula] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    readers: list[str] = field(default_factory=list)
    source: tuple[str, int, str] | None = None
    stage: Stage | None = None
    root: Var | None = None
    _given: list[Any] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)
    edges: dict[str, tuple[Stage, Var]] = field(default_factory=dict)
    _parameters: set[str] = field(default_factory=set)

    @property
    def gradient(self) -> Any:
        """What `rg.grad` gives: the cotangent, and of a complex value its conjugate, dl/dRe + i dl/dIm."""
        return np.conj(self.cotangent) if np.iscomplexobj(self.cotangent) else self.cotangent

    @property
    def shape(self) -> tuple[int, ...]:
        """The value's shape."""
        return np.shape(self.value)

    @property
    def nbytes(self) -> int:
        """Bytes of the value."""
        return int(np.asarray(self.value).nbytes)

    @property
    def jacobian(self) -> np.ndarray:
        """The derivative by the first step that it reads (else its first operand); see `jacobian_by`."""
        if not self._places:
            raise DifferentiationError(f"{self.name} is a {self.kind}: it reads nothing that it could be derived by")
        return self.jacobian_by(next(iter(self._places)))

    def jacobian_by(self, name: str, example: int | None = None) -> np.ndarray:
        """All derivatives by one value that it reads, of shape (the read one's shape) + (its own shape).

        This is the textbook's layout, in which a linear layer's is Ω transposed and dl/dh = J dl/df. With `example`, the step is
        a batch and it is the Jacobian of that row of it: by the same row of another batch, by a parameter as a whole. Raises
        `ShapeError` where it would have more than fifty million elements, or `example` is given and this is no batch.
        """
        if name not in self._places:
            raise KeyError(f"{self.name} reads {', '.join(self._places) or 'nothing'}, not {name!r}")
        assert self.stage is not None
        place, graph = self._places[name], self.stage.graph
        x = np.asarray(self._given[place])[()]
        if np.iscomplexobj(x) and np.iscomplexobj(self.value):
            raise DifferentiationError(
                f"{name} and {self.name} are complex: the derivative is a complex number only where the step is holomorphic; "
                "take it with rg.jacobian(f, holomorphic=True), or along a direction with rg.jvp"
            )
        if example is not None and not self.examples(name):
            raise ShapeError(f"{name} {np.shape(x)} and {self.name} {self.shape} are no batches of one length; leave example out")
        rows = 1 if example is None else self.shape[0]
        if not -rows <= (example or 0) < rows:
            raise IndexError(f"example {example} of a batch of {rows}")
        at = (example or 0) % rows
        by_row = example is not None and not self.whole(name)
        part = x[at : at + 1] if by_row else x
        if np.size(part) * (np.size(self.value) // rows) > JACOBIAN:
            raise ShapeError(f"the Jacobian of {self.name} by {name} is too large to look at; ask for one example of a batch")

        def f(moved: Any) -> Any:
            if by_row:
                moved = np.concatenate([x[:at], moved, x[at + 1 :]])
            out = evaluate(graph, [*self._given[:place], moved, *self._given[place + 1 :]])[0]
            return out if example is None else out[at]

        found = np.asarray(jacobian(f)(part))
        lead = found.ndim - np.ndim(x)
        found = np.moveaxis(found, range(lead), range(-lead, 0)) if lead else found
        found = found[0] if by_row else found
        return np.conj(found) if np.iscomplexobj(x) else found  # so that dl/dread = J dl/dstep: see `cotangent`

    def examples(self, name: str) -> int:
        """How many examples the step has of which each has a Jacobian of its own by `name`; 0 where it is no batch."""
        return self.shape[0] if self._batched(name) or self.whole(name) else 0

    def _batched(self, name: str) -> bool:
        """Whether a value that it reads is as long as it is."""
        shape = np.shape(self._given[self._places[name]])
        return bool(shape and self.shape) and shape[0] == self.shape[0]

    def whole(self, name: str) -> bool:
        """Whether each row of the step reads all of `name`: a parameter, beside a batch."""
        return name in self._parameters and any(self._batched(other) for other in self._places if other != name)

    def __repr__(self) -> str:
        shape = " × ".join(map(str, self.shape)) or "number"
        return f"<{self.name} = {self.formula.text}  ({self.op}, {shape})>"


def make_steps(passes: Passes, plan: Outline) -> tuple[list[Step], list[Step], list[Step], dict[Var, Step]]:
    """The steps, the parameters (or their pieces), the other inputs, and the step of each variable."""
    symbols = {var: symbol(name) for var, name in plan.symbols.items()}
    found: dict[Var, Step] = {}
    steps = [_step(passes, stage, symbols, plan) for stage in plan.stages]
    found.update((stage.out, step) for stage, step in zip(plan.stages, steps))
    parameters, inputs = [], []
    for var, name in plan.inputs.items():
        if var not in passes.parameters:
            inputs.append(Step(name, "input", "input", passes.value(var), None, symbols[var], symbols[var], root=var))
            found[var] = inputs[-1]
            continue
        ct = passes.cotangent(var)
        gradient = np.zeros_like(passes.value(var)) if ct is None else ct
        found[var] = Step(name, "parameter", "parameter", passes.value(var), gradient, symbols[var], symbols[var], root=var)
        pieces = {piece.name: piece for piece in plan.pieces if piece.root is var}
        if pieces and _only_in_pieces(passes.graph, var, [p.view for p in plan.pieces if p.root is var]):
            for piece in pieces.values():
                value, share = (evaluate(piece.view, [x])[0] for x in (passes.value(var), gradient))
                own = symbol(piece.name)
                parameters.append(Step(piece.name, "parameter", f"a part of {name}", value, share, own, own, root=var))
        else:
            parameters.append(found[var])
    _link(passes, plan, steps, [*parameters, *inputs], symbols, found)
    return steps, parameters, inputs, found


def _only_in_pieces(graph: Graph, var: Var, views: list[Graph]) -> bool:
    firsts = {view.equations[0] for view in views}
    return all(eq in firsts for eq in graph.equations if var in eq.inputs)


def _step(passes: Passes, stage: Stage, symbols: dict[Var, Formula], plan: Outline) -> Step:
    graph, out = stage.graph, stage.out
    formula = forward_formula(stage, symbols)
    source = stage.source
    shown = (source[0], source[1], source_line(source)) if source is not None else None
    name = plan.symbols[out]
    given = [passes.value(var) for var in graph.inputs]
    return Step(
        name, "step", stage.op, passes.value(out), passes.cotangent(out), symbols[out], formula, source=shown, stage=stage,
        root=out, _given=given,
    )  # fmt: skip


def forward_formula(stage: Stage, symbols: dict[Var, Formula], longest: int = LONGEST) -> Formula:
    """What a stage computes, in the given symbols; beyond `longest` characters only its name and what it reads."""
    inner = {var: f for var, f in symbols.items() if var is not stage.out}
    formula = closed_form(stage, symbols, False) or write(stage.graph, inner)[0]
    if len(formula.tex) <= longest:
        return formula
    tex = ", ".join(symbols[var].tex for var in stage.graph.inputs if var in symbols)
    text = ", ".join(symbols[var].text for var in stage.graph.inputs if var in symbols)
    op = stage.call.name if stage.call is not None else stage.name
    shown = op.replace("_", "\\_")
    return Formula(f"\\mathrm{{{shown}}}({tex})", f"{op}({text})")


def closed_form(stage: Stage, symbols: dict[Var, Formula], derivative: bool) -> Formula | None:
    """The softmax cross-entropy of labels as books write it: its graph, which takes the maximum out first, is longer."""
    if stage.call is None or stage.call.name != "cross_entropy" or len(stage.graph.inputs) != 1:
        return None
    constants = stage.graph.constants  # the labels alone: with weights it is another formula
    f, n = symbols.get(stage.graph.inputs[0]), stage.graph.inputs[0].type.shape[0]
    if len(constants) != 1 or f is None:
        return None
    ((var, labels),) = constants.items()
    if kind_of(labels.dtype) not in "iu" or labels.size != n:
        return None
    y = str(int(labels.flat[0])) if n == 1 else symbols[var].text if var in symbols else "y"
    if derivative:
        tex, text = f"\\operatorname{{softmax}}({f.tex}) - \\operatorname{{onehot}}({y})", f"softmax({f.text}) - onehot({y})"
        return Formula(tex, text, SUM) if n == 1 else Formula(f"\\frac{{1}}{{{n}}} ({tex})", f"({text}) / {n}", PRODUCT)
    tex, text = f"\\log \\sum e^{{{f.tex}}} - {f.tex}[{y}]", f"log Σ exp({f.text}) - {f.text}[{y}]"
    if n == 1:
        return Formula(tex, text, SUM)
    return Formula(f"\\operatorname{{mean}}({tex})", f"mean({text})")


def pulled(stage: Stage, by: Var, seed: Formula, symbols: dict[Var, Formula]) -> tuple[Formula, Graph]:
    """What a stage's pullback gives to one of its inputs, as a formula in the cotangent `seed`; and the pullback's graph."""
    graph = stage.graph
    back = backprop(graph, [by], [0])
    if back.reached[0] is None:
        return Formula("0", "0"), back.graph
    outside = {var: f for var, f in symbols.items() if var is not stage.out}
    known = dict(zip(back.kept, write(Graph(graph.inputs, graph.equations, back.kept, graph.constants), outside)))
    if stage.out in known and stage.out in symbols:
        known[stage.out] = symbols[stage.out]
    known[back.graph.inputs[len(back.kept)]] = seed
    return write(back.graph, known)[0], back.graph


def pulled_formula(
    stage: Stage, by: Var, seed: Formula, symbols: dict[Var, Formula], longest: int = LONGEST
) -> Formula:
    """What a stage's pullback makes of the cotangent `seed`; beyond `longest` characters, a product with ∂out/∂by."""
    closed = closed_form(stage, symbols, True)
    if closed is not None:
        return closed if seed.one else _times(seed, closed)
    found = pulled(stage, by, seed, symbols)[0]
    if len(found.tex) <= longest:
        return found
    out, x = symbols[stage.out], symbols[by]
    local = Formula(f"\\frac{{\\partial {out.tex}}}{{\\partial {x.tex}}}", f"∂{out.text}/∂{x.text}", ATOM)
    return local if seed.one else _times(seed, local)


def _times(seed: Formula, local: Formula) -> Formula:
    a, b = seed.wrapped(PRODUCT), local.wrapped(PRODUCT)
    return Formula(f"{a.tex} \\cdot {b.tex}", f"{a.text} · {b.text}", PRODUCT)


def _link(
    passes: Passes, plan: Outline, steps: list[Step], leaves: list[Step], symbols: dict[Var, Formula], found: dict[Var, Step]
) -> None:
    """Who reads whom, the local derivatives, and the formula of each cotangent: the sum over its readers."""
    loss = symbols.get(passes.graph.outputs[0], Formula("l", "l"))  # type: ignore[arg-type]
    terms: dict[str, list[Formula]] = {}
    by_name = {step.name: step for step in (*steps, *leaves)}
    pieces = {piece.view.outputs[0]: piece for piece in plan.pieces}
    for stage, step in zip(plan.stages, steps):
        seed = ONE if stage.out is passes.graph.outputs[0] else derivative_of(loss, step.symbol)
        for place, var in enumerate(stage.graph.inputs):
            if kind_of(var.type.dtype) not in "fc" or var not in symbols:
                continue
            read = [pieces[eq.outputs[0]] for eq in stage.graph.equations if eq.outputs[0] in pieces]
            read = [piece for piece in read if piece.root is var and piece.name in by_name]
            if var not in passes.parameters and var not in passes.trail.cotangents:
                by_name[found[var].name].readers.append(step.name)
                step.reads.append(found[var].name)
                step._places[found[var].name] = place
                continue
            if read:
                for piece in {piece.name: piece for piece in read}.values():
                    sub = _from_piece(stage, piece)
                    _read(step, by_name[piece.name], terms, sub, piece.view.outputs[0], seed, symbols)  # type: ignore[arg-type]
            else:
                target = by_name.get(found[var].name, found[var])
                _read(step, target, terms, stage, var, seed, symbols)
                step._places[target.name] = place
                if target.kind == "parameter":
                    step._parameters.add(target.name)
        step._places = dict(sorted(step._places.items(), key=lambda item: by_name.get(item[0], step).kind != "step"))
    for step in (*steps, *leaves, *found.values()):
        if step.name in terms:
            step.backward = sum_of(terms[step.name])
        elif step.kind == "parameter" or step.cotangent is not None:
            step.backward = ONE if step.root is passes.graph.outputs[0] else step.backward


def _from_piece(stage: Stage, piece: Any) -> Stage:
    """The stage with a piece of a parameter as an input of its own."""
    (out,) = piece.view.outputs
    others = [eq for eq in stage.graph.equations if eq not in piece.view.equations]
    graph = Graph((*stage.graph.inputs, out), others, stage.graph.outputs, stage.graph.constants)
    return Stage(stage.name, stage.op, stage.out, graph, stage.source, stage.call)


def _read(
    step: Step, target: Step, terms: dict[str, list[Formula]], stage: Stage, by: Var, seed: Formula, symbols: dict[Var, Formula]
) -> None:
    target.readers.append(step.name)
    step.reads.append(target.name)
    step.edges[target.name] = stage, by
    step.local[target.name] = pulled_formula(stage, by, ONE, symbols)
    if step.cotangent is not None:
        terms.setdefault(target.name, []).append(pulled_formula(stage, by, seed, symbols))


__all__ = ["Step", "closed_form", "forward_formula", "make_steps", "pulled", "pulled_formula"]
