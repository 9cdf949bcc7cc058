"""`Record`: everything about one forward and one backward pass, and the ways to look at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from retrograde.errors import DifferentiationError
from retrograde.explore.formula import Formula, derivative_of, symbol
from retrograde.explore.passes import Passes, run_passes
from retrograde.explore.step import Step, make_steps
from retrograde.explore.steps import outline
from retrograde.ir import Var
from retrograde.trace import Tracer
from retrograde.trace.trace import input_names
from retrograde.transforms import with_kwargs
from retrograde.tree import tree_leaves


def run_record(f: Callable, args: Sequence[Any], kwargs: dict[str, Any], argnums: int | Sequence[int]) -> Record:
    """Run both passes of `f` at plain arrays, and gather them into steps."""
    for arg, names in zip(args, input_names(f, args)):
        for leaf, name in zip(tree_leaves(arg), names):
            if isinstance(leaf, Tracer):
                raise DifferentiationError(f"explore shows numbers, and `{name}` is {leaf!r}, which has none to show; call it "
                                           "outside of jit, grad and vmap")  # fmt: skip
    passes, found = run_passes(with_kwargs(f, kwargs), args, argnums)
    return Record(passes, found, getattr(f, "__name__", "the loss"))


class Record:
    """One forward and one backward pass, step by step; made by `explore`.

    `record["f2"]` is a step, a parameter or an input, by its name: `record["Ω1"]`, `record["omega1"]`, `record["0.weight"]`;
    `record["dl/df2"]` is the derivative by it, `record["df3/df2"]` that of one step by another. `steps` are the steps in the
    order in which they ran, `parameters` what derivatives are by, `inputs` the other arguments, `loss` the number that came out.
    `rows`, of a record that `run.explore` gives, are the rows of the data that its batch holds.
    """

    rows: Any = None

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

    def __getitem__(self, name: str) -> Any:
        from retrograde.explore.lookup import look_up

        return look_up(name, self._by_name, self.loss_name)

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


__all__ = ["Record", "run_record"]
