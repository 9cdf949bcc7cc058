"""`Record`: everything about one forward and one backward pass, and the ways to look at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from retrograde.autodiff import Backward, Trail, backprop
from retrograde.errors import DifferentiationError
from retrograde.explore.formula import Formula, derivative_of, symbol
from retrograde.explore.step import Step, make_steps
from retrograde.explore.steps import outline
from retrograde.explore.watch import Watch
from retrograde.ir import Graph, Literal, Var, evaluate
from retrograde.trace import Tracer, tracing
from retrograde.trace.trace import as_output, input_names, new_input, opened
from retrograde.transforms import check_scalar, differentiable, positions_of, wanted_of, with_kwargs
from retrograde.tree import tree_flatten, tree_unflatten

LOOP = 64  # steps of a loop that are shown one by one


class Passes:
    """The graphs of both passes, and what each variable of either is."""

    def __init__(self, graph: Graph, values: dict[Var, Any], parameters: Sequence[Var]):
        self.graph, self.values, self.parameters = graph, values, tuple(parameters)
        self.trail = Trail()
        self.backward: Backward = backprop(graph, parameters, [0], self.trail)
        back = self.backward.graph
        made = [out for eq in back.equations for out in eq.outputs]
        seed = np.ones((), graph.outputs[0].type.dtype)[()]
        given = [*(self.value(var) for var in self.backward.kept), seed]
        with np.errstate(all="ignore"):
            found = evaluate(Graph(back.inputs, back.equations, tuple(made), back.constants), given)
        self.values.update(zip((*back.inputs[len(self.backward.kept) :], *made), (seed, *found)))

    def value(self, atom: Any) -> Any:
        """The number or array of a variable of either graph."""
        return atom.value if isinstance(atom, Literal) else self.values[atom]

    def cotangent(self, var: Var) -> Any:
        """dl/dvar; None where the backward pass makes none."""
        atom = self.trail.cotangents.get(var)
        return None if atom is None or (isinstance(atom, Var) and atom not in self.values) else self.value(atom)


def run_record(f: Callable, args: Sequence[Any], kwargs: dict[str, Any], argnums: int | Sequence[int]) -> Record:
    """Trace `f` at `args` with its numbers, run the backward pass, and gather both into steps."""
    wanted = positions_of(wanted_of(argnums)[0], args)
    f = with_kwargs(f, kwargs)
    builder = tracing(concrete=True)
    watch = Watch(builder)
    given: list[Any] = []
    parameters: list[Any] = []
    for i, (arg, names) in enumerate(zip(args, input_names(f, args))):
        leaves, structure = tree_flatten(arg)
        leaves = [_own(x, name) for x, name in zip(leaves, names)]
        leaves = [
            new_input(builder, differentiable(x, name) if i in wanted else x, name) if i in wanted or _is_float(x) else x
            for x, name in zip(leaves, names)
        ]
        if i in wanted:
            parameters += [leaf.atom for leaf in leaves]
        given.append(tree_unflatten(structure, leaves))
    with np.errstate(all="ignore"), opened(LOOP):  # `diagnose` says where a NaN comes from
        result = f(*given)
    outputs = tree_flatten(result)[0]
    check_scalar(f, outputs)
    graph = builder.finish([as_output(outputs[0])])
    return Record(Passes(graph, builder.values, parameters), watch.names(), getattr(f, "__name__", "the loss"))


def _own(leaf: Any, name: str) -> Any:
    """An argument as it is now: the record outlives changes of the caller's arrays."""
    if isinstance(leaf, Tracer):
        raise DifferentiationError(
            f"explore shows numbers, and `{name}` is {leaf!r}, which has none to show; call it outside of jit, grad and vmap"
        )
    return leaf.copy() if type(leaf) is np.ndarray else leaf


def _is_float(leaf: Any) -> bool:
    return np.asarray(leaf).dtype.kind in "fc"


class Record:
    """One forward and one backward pass, step by step; made by `explore`.

    `record["f2"]` is a step, a parameter or an input, by its name; `steps` are the steps in the order in which they ran,
    `parameters` what derivatives are by, `inputs` the other arguments, `loss` the number that came out.
    """

    def __init__(self, passes: Passes, names: dict[str, Var], title: str):
        self.passes, self.title = passes, title
        self.outline = outline(passes.graph, names)
        self.steps, self.parameters, self.inputs, found = make_steps(passes, self.outline)
        self._by_name: dict[str, Step] = {step.name: step for step in self}
        for step in found.values():
            self._by_name.setdefault(step.name, step)
        for name, var in self.outline.aliases.items():
            if var in found:
                self._by_name.setdefault(name, found[var])
        for var in passes.graph.inputs:
            if var in found and var.name is not None:
                self._by_name.setdefault(var.name, found[var])
        loss = passes.graph.outputs[0]
        self.loss = float(passes.value(loss))
        self.loss_name: str = self.outline.symbols.get(loss, "l") if isinstance(loss, Var) else "l"

    def __iter__(self):  # type: ignore[no-untyped-def]
        yield from (*self.inputs, *self.parameters, *self.steps)

    def __getitem__(self, name: str) -> Step:
        try:
            return self._by_name[name]
        except KeyError:
            raise KeyError(f"no step is called {name!r}; there are {', '.join(self._by_name)}") from None

    def derivative(self, step: Step) -> Formula:
        """The symbol dl/dstep."""
        return derivative_of(symbol(self.loss_name), step.symbol)

    # -- the ways to look at it

    def table(self, title: str | None = None) -> Any:
        """A rich table: forward, then backward; name, formula, shape, and the number or the norm."""
        from retrograde.explore.tables import record_table

        return record_table(self, title)

    def latex(self, form: str = "auto") -> str:
        """The derivation as on a board. `form` "graph" says what the graph does, "matrix" has a network's layers in columns.

        In the matrix form h is one example's column, as books have it: the parameters' derivatives add up over the examples.
        """
        from retrograde.explore.board import derivation

        return derivation(self, form)

    def memory(self) -> Any:
        """What is held when, and what makes the peak."""
        from retrograde.explore.memory import memory_of

        return memory_of(self)

    def reuse(self) -> Any:
        """Which products the backward pass computes once and uses several times, and what that saves."""
        from retrograde.explore.reuse import reuse_of

        return reuse_of(self)

    def diagnose(self, language: str = "en") -> list[str]:
        """What is wrong with these numbers, in sentences, English ("en") or Korean ("ko"); an empty list where nothing is."""
        from retrograde.explore.diagnose import diagnose

        return diagnose(self, language)

    def plot(self, rate: float | None = None) -> Any:
        """A matplotlib figure: norms by step, update-to-weight ratios for a learning rate, cotangents, dead units."""
        from retrograde.explore.plot import figure

        return figure(self, rate)

    def save(
        self, path: Any, *, show: Sequence[str] = (), columns: Mapping[str, Sequence[str]] | None = None,
        language: str | None = None, open: bool = False,
    ) -> Any:  # fmt: skip
        """Write one HTML file to look at in a browser, from disk and without a network; returns its path.

        It walks through both passes with every formula and number. Large arrays are summarized, but for those of the steps
        named in `show`. `columns` has names for the last axis of steps, `{"x": ["age", "income"]}`. The page is in `language`,
        "en" or "ko", at first; by default in the reader's. `open=True` opens it. Raises `OSError` where the file cannot be
        written, `ShapeError` where the columns of a step are fewer or more than their names.
        """
        from retrograde.explore.saving import save_page

        return save_page(self, path, show=show, columns=columns or {}, language=language, open_it=open)

    def to_dict(self, *, elements: int = 4096) -> dict[str, Any]:
        """All of it as JSON-able data; of arrays of more than `elements` numbers a summary only."""
        from retrograde.explore.describe import describe

        return describe(self, elements)

    def __str__(self) -> str:
        from retrograde.explore.tables import as_text

        return as_text(self.table())

    def __repr__(self) -> str:
        return f"<Record of {self.title}: {len(self.steps)} steps, loss {self.loss:.6g}; print it>"

    def _repr_html_(self) -> str:
        from retrograde.explore.page import record_html

        return record_html(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}


__all__ = ["Passes", "Record", "run_record"]
