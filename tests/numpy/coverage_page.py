"""Print docs/numpy-coverage.md: `PYTHONPATH=src python tests/numpy/coverage_page.py > docs/numpy-coverage.md`.

What the page says of a function is found by calling it: a gradient that is not 0 for some arguments, a trace all of whose
operations have a lowering, an error.
"""

import inspect
import os
import sys
import tempfile
import textwrap
import warnings

import numpy as np
import scipy.linalg
import scipy.special
from driving import ARGUMENTS, MATRICES, PATTERNS, UNDRIVEN, Call, functions_of, leaves, plainly, quietly, replace

import retrograde as rg
from retrograde.numpy.table import FUNCTIONS, REASONS
from retrograde.trace import Tracer

VERSIONS = " and ".join(f"{m.__name__} {m.__version__.rpartition('.')[0]}" for m in (np, scipy))
HEAD = """# NumPy's functions

What each function of NumPy does with a traced array, found by calling it (""" + VERSIONS + """). This page is printed by
`tests/numpy/coverage_page.py`; a test keeps it true. Of SciPy's functions, those with a rule are in `retrograde.scipy`; SciPy's
own ufuncs find them.

- **gradient**: *yes*, or *none* where the derivative is 0 or undefined everywhere (comparisons, indices, counts, rounding).
- **compiled**: *yes*, or *eager* where the result's shape depends on values, so that it works under `rg.grad` but not under
  `rg.jit`.

A function without a rule raises an error that says so; none returns a plain array in silence. ndarray's methods and operators are
those of the functions, and a ufunc's `outer` is there for every binary ufunc with a rule; `reduce`, `accumulate` and, on a traced
array, `at` are there for add, multiply, maximum and minimum.
"""
LIMITS = """
## What NumPy decides before anyone is asked

Some functions are Python code of NumPy's that no protocol reaches. `np.polynomial.polynomial.polyval` with coefficients of
several axes, `polyvalfromroots` with plain roots, and their kin for other bases ask for an instance of `np.ndarray`: with traced
points they broadcast wrongly. Use `np.polyval`. `np.bmat` returns None, `np.isscalar` says no to a traced number, and
`np.nditer` has an error of its own.
"""

NO_ARRAYS = {*UNDRIVEN, "printoptions", "broadcast_shapes"}


def patterns_of(name):
    """The arguments to try."""
    return [*([ARGUMENTS[name]] if name in ARGUMENTS else []), *(MATRICES if name.startswith("scipy.linalg") else PATTERNS)]


def lowered(graph):
    """Whether every operation can be compiled: it has a lowering, or graphs of such operations."""
    return all((eq.primitive.lowering or eq.graphs()) and all(lowered(g) for _, g in eq.graphs()) for eq in graph.equations)


class Probe:
    """Whether a function works on traced arrays, has a gradient, and is compiled; or what it raised."""

    def __init__(self, name, function, given=None):
        self.gradient = self.compiled = self.driven = self.works = self.refused = False
        self.error = None
        for args in patterns_of(name):
            if plainly(given or function, args) is None:
                continue
            self.gradient = self.gradient or self.attempt(self.slopes, function, args, "fc")
            for kinds in ("biufc", "fc"):
                self.compiled = self.compiled or self.attempt(self.traces, function, args, kinds)
            if self.gradient and self.compiled:
                break

    def attempt(self, question, function, args, kinds):
        """The answer to a question; no where it raises."""
        arrays = Call("", function, args, kinds).arrays
        if not arrays:
            return False
        self.driven = True

        def call(*traced):
            values = iter(traced)
            given = replace(args, kinds, lambda _: next(values).copy())
            out = quietly(function, *given)
            return [x for x in leaves(given if out is None else out) if isinstance(x, Tracer)]

        try:
            found = question(call, arrays)
            self.works = True
            return found
        except Exception as error:
            self.error = self.error or error
            self.refused = self.refused or not self.works  # what it takes after that are arguments that do not matter
            return False

    @staticmethod
    def slopes(call, arrays):
        """Whether some cotangent is not 0."""
        values, pull = rg.vjp(call, *arrays)
        weights = [np.cos(np.arange(np.size(x), dtype=float)).reshape(np.shape(x)).astype(x.dtype) for x in values]
        return any(np.any(ct) for ct in pull(weights))

    @staticmethod
    def traces(call, arrays):
        """Whether it is traced without values, to operations that have a lowering."""
        return lowered(rg.trace(call)(*arrays))


def known(_name, function):
    """The rule that the protocol finds."""
    try:
        return FUNCTIONS.get(function)
    except TypeError:
        return None


def section(title, prefix, functions, rule_of):
    """A namespace: with a rule, without one, and what takes no arrays. Returns text and counts."""
    rows, own, plain, reasons, missing = [], [], [], {}, []
    for name, function in sorted(functions.items()):
        rule, short = rule_of(name, function), f"`{name.removeprefix(prefix)}`"
        if function in REASONS:
            reasons.setdefault(REASONS[function], []).append(short)
            continue
        if rule is None and (inspect.isclass(function) or name.rpartition(".")[2] in NO_ARRAYS):
            plain.append(short)
            continue
        probe = Probe(name, rule or function, function)
        if rule is not None and probe.works:
            rows.append((short, probe.gradient, probe.compiled))
        elif rule is not None and probe.driven:
            reasons.setdefault(str(probe.error).partition(": ")[2] or str(probe.error), []).append(short)
        else:
            (own if probe.gradient else missing if probe.refused else plain).append(short)
    lines = [f"\n## {title}\n", "| function | gradient | compiled |", "| --- | --- | --- |"]
    lines += [f"| {n} | {'yes' if g else 'none'} | {'yes' if c else 'eager'} |" for n, g, c in rows]
    if reasons:
        lines += ["\nRefused, with a reason:\n", "| functions | why, and what to write |", "| --- | --- |"]
        lines += [f"| {', '.join(names)} | {reason.splitlines()[0]} |" for reason, names in reasons.items()]
    for what, names in (
        ("Refused, for want of a rule", missing), ("Work as they are, for they are composed of the above", own),
        ("Nothing to trace (types, settings, files, functions of shapes and of plain numbers)", plain),
    ):  # fmt: skip
        if names:
            lines.append("\n" + textwrap.fill(f"{what}: {', '.join(names)}.", 130, break_on_hyphens=False))
    refused = len(missing) + sum(map(len, reasons.values()))
    return "\n".join(lines) + "\n", (len(rows), sum(g for _, g, _ in rows), sum(c for *_, c in rows), len(own), refused)


def own_scipy(module):
    """The rules by name in one of the modules of retrograde.scipy."""

    def find(name, _):
        short = name.rpartition(".")[2]
        return getattr(module, short) if short in module.__all__ else None

    return find


def page():
    """The whole page."""
    spaces = [
        ("numpy", "np.", functions_of(np, "np"), known),
        ("numpy.linalg", "np.linalg.", functions_of(np.linalg, "np.linalg"), known),
        ("numpy.fft", "np.fft.", functions_of(np.fft, "np.fft"), known),
        ("scipy.linalg", "scipy.linalg.", functions_of(scipy.linalg, "scipy.linalg"), own_scipy(rg.scipy.linalg)),
        ("scipy.special", "scipy.special.", functions_of(scipy.special, "scipy.special"), own_scipy(rg.scipy.special)),
    ]
    parts = [section(*space) for space in spaces]
    rows = [f"| {space[0]} | {' | '.join(map(str, counts))} |" for space, (_, counts) in zip(spaces, parts)]
    head = ["| namespace | with a rule | of them with a gradient | compiled | work as they are | refused |", "| " + "--- | " * 6]
    return HEAD + "\n".join([head[0], head[1].rstrip(), *rows, ""]) + "".join(text for text, _ in parts) + LIMITS


def main():
    """The page, from a folder where np.save may write."""
    back = os.getcwd()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        os.chdir(folder)
        try:
            return page()
        finally:
            os.chdir(back)


if __name__ == "__main__":
    sys.stdout.write(main())
