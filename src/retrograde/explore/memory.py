"""What is held when: the values that the backward pass reads, from the step that makes them to the last that reads them.

The graph is the one that was traced, before optimization, so this is backpropagation's own price; what the compiled program
holds after fusing and planning is in `print(rg.jit(f).lower(*args))`. Arguments and constants belong to the caller and are not
counted. Views hold what they are views of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrograde.ir import Equation, Literal, Var

if TYPE_CHECKING:
    from retrograde.explore.record import Record

PULLBACK = "the pullback of "


@dataclass(frozen=True)
class Held:
    """One value: its bytes, from which moment to which, and the backward steps that read it (none: it is not kept)."""

    name: str
    nbytes: int
    made: str
    until: str
    readers: tuple[str, ...]


@dataclass(frozen=True)
class Moment:
    """One step of either pass, a step itself or its pullback: the most bytes that are held while it runs, and of what.

    `step` is the name of the step that runs or is pulled back.
    """

    name: str
    step: str
    backward: bool
    nbytes: int
    values: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Memory:
    """`held` are the values kept for the backward pass, `moments` the steps in order, `peak` the most bytes at any time."""

    held: tuple[Held, ...]
    moments: tuple[Moment, ...]
    peak: int
    at: str

    @property
    def kept(self) -> int:
        """Bytes that the forward pass leaves for the backward pass."""
        return sum(value.nbytes for value in self.held)

    def __str__(self) -> str:
        lines = [f"{self.kept:,} bytes are kept for the backward pass; the peak is {self.peak:,} bytes, in {self.at}"]
        for value in self.held:
            readers = ", ".join(value.readers)
            lines.append(f"  {value.name}: {value.nbytes:,} bytes from {value.made} to {value.until}, read by {readers}")
        most = max((m.nbytes for m in self.moments), default=0)
        for moment in self.moments:
            bar = "█" * round(30 * moment.nbytes / most) if most else ""
            lines.append(f"  {moment.name:<20} {moment.nbytes:>12,} {bar}")
        peak = next((m for m in self.moments if m.name == self.at), None)
        if peak is not None:
            largest = sorted(peak.values, key=lambda v: -v[1])[:5]
            lines.append("  the peak is made of " + ", ".join(f"{name} ({n:,})" for name, n in largest))
        return "\n".join(lines)


def memory_of(record: Record) -> Memory:
    """Lifetimes equation by equation, gathered by step."""
    passes = record.passes
    forward, back = passes.graph.equations, passes.backward.graph
    equations: list[Equation] = [*forward, *back.equations]
    home = {eq: stage.name for stage in record.outline.stages for eq in stage.graph.equations}
    loss = record.loss_name
    moments = [home.get(eq, "") for eq in forward]
    for eq in back.equations:
        origin = passes.trail.origins.get(eq)
        moments.append(PULLBACK + home[origin] if origin in home else "")
    _fill(moments, len(forward))
    root: dict[Var, Var] = {}
    born: dict[Var, int] = {}
    dies: dict[Var, int] = {}
    names: dict[Var, str] = {}
    for i, eq in enumerate(equations):
        for atom in eq.inputs:
            if isinstance(atom, Var) and (r := root.get(atom, atom)) in born:
                dies[r] = i
        for out in eq.outputs:
            if eq.primitive.lowering == "view" and isinstance(eq.inputs[0], Var):
                root[out] = root.get(eq.inputs[0], eq.inputs[0])
            else:
                born[out] = dies[out] = i
                names[out] = f"inside {moments[i]}"
    symbols = record.outline.symbols
    for var, name in symbols.items():
        names[root.get(var, var)] = name
    for var, ct in passes.trail.cotangents.items():
        if var in symbols and isinstance(ct, Var):
            names[root.get(ct, ct)] = f"d{loss}/d{symbols[var]}"
    for end in (*passes.graph.outputs, *back.outputs):
        if isinstance(end, Var) and (r := root.get(end, end)) in dies:
            dies[r] = len(equations) - 1
    held = _held(record, moments, root, born, dies, names)
    return _by_moment(moments, len(forward), born, dies, names, held)


def _fill(moments: list[str], forward: int) -> None:
    """A view that no step claimed is part of what comes after it, in its own pass."""
    for i in reversed(range(len(moments))):
        if not moments[i]:
            after = i + 1 < len(moments) and (i + 1 >= forward) == (i >= forward)
            moments[i] = moments[i + 1] if after else "the end"


def _held(record: Record, moments: list[str], root: dict, born: dict, dies: dict, names: dict) -> tuple[Held, ...]:
    forward = len(record.passes.graph.equations)
    readers: dict[Var, dict[str, None]] = {}
    for i, eq in enumerate(record.passes.backward.graph.equations):
        for atom in eq.inputs:
            if not isinstance(atom, Literal):
                readers.setdefault(root.get(atom, atom), {})[moments[forward + i]] = None
    kept = dict.fromkeys(root.get(var, var) for var in record.passes.backward.kept)
    return tuple(
        Held(names[var], var.type.nbytes, moments[born[var]], moments[dies[var]], tuple(readers.get(var, ())))
        for var in kept if var in born
    )  # fmt: skip


def _by_moment(moments: list[str], forward: int, born: dict, dies: dict, names: dict, held: tuple) -> Memory:
    starts: dict[int, list[Var]] = {}
    ends: dict[int, list[Var]] = {}
    for var, i in born.items():
        starts.setdefault(i, []).append(var)
        ends.setdefault(dies[var], []).append(var)
    live: dict[Var, None] = {}
    found: dict[tuple[str, bool], Moment] = {}
    now = 0
    for i, moment in enumerate(moments):
        for var in starts.get(i, ()):
            live[var] = None
            now += var.type.nbytes
        key = (moment, i >= forward)
        if key not in found or now > found[key].nbytes:
            values: dict[str, int] = {}
            for var in live:
                values[names[var]] = values.get(names[var], 0) + var.type.nbytes
            found[key] = Moment(moment, moment.removeprefix(PULLBACK), i >= forward, now, tuple(values.items()))
        for var in ends.get(i, ()):
            live.pop(var, None)
            now -= var.type.nbytes
    peak = max(found.values(), key=lambda m: m.nbytes, default=Moment("nothing", "", False, 0, ()))
    return Memory(held, tuple(found.values()), peak.nbytes, peak.name)


__all__ = ["Held", "Memory", "Moment", "memory_of"]
