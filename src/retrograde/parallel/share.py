"""`share_work`: which equations a team of threads shares, and before which of them all must wait.

Every thread runs the whole program. A shared equation is split by its outputs (a sum is never split, so the bits do not
depend on the number of threads); all else is done by the first thread alone. A barrier stands before an equation only if
it touches memory that another thread may have written, or may still read, since the last one. Whether sharing pays is
decided here once, for a team of two: a loop whose steps would not get clearly faster stays on one thread. The steps of a
loop that carries nothing are dealt out whole, each thread with working memory of its own.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from retrograde.ir import Atom, Equation, Graph, Var
from retrograde.ir.layout import aligned
from retrograde.ops.branch import branch
from retrograde.ops.control import scan

SHARE_NS = 4_000  # an equation shorter than this is not worth a barrier
BARRIER_NS = 1_500  # measured: 60 to 350 ns when nobody is late; then each reads from afar what the other wrote
STEP_NS = 12_000  # nor is a step of a loop shorter than this: two free cores would gain little, a busy one would lose much
START_NS = 60_000  # to wake the team up for one call
UNKNOWN_STEPS = 100  # of a while loop
GAIN = 0.8  # a shared loop must take less than this part of the time alone


class Plan(Protocol):
    """What is needed of a memory plan."""

    slots: dict
    nested: dict
    scratch: dict


Work = Callable[[Equation], tuple[float, bool, int]]  # nanoseconds; whether outputs can be split; bytes for each thread


class Region(NamedTuple):
    """A stretch of memory: of input or output number `index`, or of the arena from byte `index` on."""

    kind: str
    index: int
    nbytes: int


class Touched:
    """The memory that some equations read, or write: whole inputs and outputs, and stretches of the arena."""

    def __init__(self) -> None:
        self._whole: set[tuple[str, int]] = set()
        self._begins: list[int] = []  # stretches apart from one another, in order
        self._ends: list[int] = []

    def add(self, region: Region) -> None:
        """That too."""
        kind, begin, nbytes = region
        if kind != "arena":
            self._whole.add((kind, begin))
            return
        end = begin + nbytes
        first, last = bisect_left(self._ends, begin), bisect_right(self._begins, end)
        if first < last:
            begin, end = min(begin, self._begins[first]), max(end, self._ends[last - 1])
        self._begins[first:last], self._ends[first:last] = [begin], [end]

    def meets(self, region: Region) -> bool:
        """Whether a byte of the region is among it."""
        kind, begin, nbytes = region
        if kind != "arena":
            return (kind, begin) in self._whole
        first = bisect_right(self._ends, begin)
        return first < len(self._begins) and self._begins[first] < begin + nbytes


@dataclass
class Sharing:
    """For one graph: the equations that are `shared`, those with a barrier before them, and the same for graphs inside.

    `alone` and `together` are the estimated nanoseconds on one thread and on two; `scratch` is what each thread but the
    first wants for itself.
    """

    shared: set[Equation] = field(default_factory=set)
    barriers: set[Equation] = field(default_factory=set)
    nested: dict[Graph, Sharing] = field(default_factory=dict)
    alone: float = 0.0
    together: float = 0.0
    scratch: int = 0

    def __bool__(self) -> bool:
        return bool(self.shared)

    def count(self) -> tuple[int, int]:
        """How many equations are shared, and how many barriers stand between them, loop bodies included."""
        inner = [s.count() for s in self.nested.values()]
        loops = len([eq for eq in self.shared if eq.primitive in (scan, branch)])
        return len(self.shared) - loops + sum(a for a, _ in inner), len(self.barriers) + sum(b for _, b in inner)

    def __str__(self) -> str:
        if not self:
            return "threads: one; the work is too small to share"
        shared, barriers = self.count()
        gain = self.alone / self.together
        return f"threads: {shared} steps shared, {barriers} barriers; on two, an estimated {gain:.2f} times as fast"


def share_work(graph: Graph, plan: Plan, work: Work) -> Sharing:
    """Decide for a planned graph; `work` estimates one equation. Nothing is shared where it would not pay."""
    found = _share(graph, plan, work)
    return found if found and found.together + START_NS < GAIN * found.alone else Sharing(alone=found.alone, together=found.alone)


def _share(graph: Graph, plan: Plan, work: Work) -> Sharing:
    result = Sharing()
    for eq in graph.equations:
        if eq.primitive.lowering == "view":
            continue
        if eq.primitive is scan and not eq.params["num_carry"]:
            steps = eq.params["length"]
            body = eq.params["body"]
            alone = _share(body, plan.nested[body], work).alone * steps
            together = alone * -(-steps // 2) / max(steps, 1) + BARRIER_NS
            scratch, splits = plan.nested[body].peak, steps > 1 and together < GAIN * alone and not _solo(body)
            together = together if splits else alone
        elif eq.primitive is scan:
            body = eq.params["body"]
            inner = _share(body, plan.nested[body], work)
            steps = UNKNOWN_STEPS if eq.params["length"] is None else eq.params["length"]
            inner.together += 2 * BARRIER_NS
            gains = bool(inner) and inner.alone >= STEP_NS and inner.together < GAIN * inner.alone
            result.nested[body] = inner if gains else Sharing()
            alone, together = inner.alone * steps, (inner.together if gains else inner.alone) * steps
            scratch, splits = inner.scratch, gains
        elif eq.primitive is branch:
            found = {graph: _share(graph, plan.nested[graph], work) for graph in eq.params["branches"]}
            alone = max(inner.alone for inner in found.values())
            together = max(inner.together for inner in found.values()) + 2 * BARRIER_NS
            splits = any(found.values()) and together < GAIN * alone
            result.nested |= {graph: inner if splits else Sharing() for graph, inner in found.items()}
            together = together if splits else alone
            scratch = max(inner.scratch for inner in found.values())
        else:
            alone, can_split, scratch = work(eq)
            splits = can_split and alone >= SHARE_NS
            together = alone / 2 + BARRIER_NS if splits else alone
        result.alone += alone
        result.together += together
        if splits:
            result.shared.add(eq)
            result.scratch = max(result.scratch, aligned(scratch))  # each on cache lines of its own
    if result:
        result.barriers = _barriers(graph, plan, result, work)
    return result


def _solo(graph: Graph) -> bool:
    """Whether something in the graph is done by a library with threads of its own, which several of ours may not call at once."""
    for eq in graph.equations:
        if eq.primitive.solo is not None and eq.primitive.solo(*[a.type for a in eq.inputs], **eq.params):
            return True
    return any(map(_solo, graph.subgraphs()))


def _barriers(graph: Graph, plan: Plan, sharing: Sharing, work: Work) -> set[Equation]:
    """Before which equations all threads must have finished what came before."""
    roots: dict[Atom, Atom] = {}
    found: set[Equation] = set()
    since = {kind: (Touched(), Touched()) for kind in (True, False)}  # what was read and written
    for eq in graph.equations:
        if eq.primitive.lowering == "view":
            roots[eq.outputs[0]] = roots.get(eq.inputs[0], eq.inputs[0])
            continue
        seen = [roots.get(a, a) for a in eq.inputs]
        reads = [_region(plan, a) for a in seen if isinstance(a, Var)]  # a number is nobody's memory, nor is a view of one
        writes = [_region(plan, out) for out in eq.outputs]
        if eq in plan.scratch:
            inner = [plan.nested[graph].peak for _, graph in eq.graphs() if graph in plan.nested]
            need = max(inner) if inner else work(eq)[2]
            writes.append(Region("arena", plan.scratch[eq], need))
        shared = eq in sharing.shared
        loop = any(sharing.nested.get(graph) for _, graph in eq.graphs())
        if loop or any(_clash(reads, writes, *since[theirs]) for theirs in ((True, False) if shared else (True,))):
            found.add(eq)
            since = {kind: (Touched(), Touched()) for kind in (True, False)}
        if not loop:  # what is shared inside ends with a barrier of its own
            for touched, regions in zip(since[shared], (reads, writes)):
                for region in regions:
                    touched.add(region)
    return found


def _region(plan: Plan, var: Var) -> Region:
    kind, index = plan.slots[var]
    return Region(kind, index, max(var.type.nbytes, 1))


def _clash(reads: list[Region], writes: list[Region], their_reads: Touched, their_writes: Touched) -> bool:
    return any(their_reads.meets(a) or their_writes.meets(a) for a in writes) or any(map(their_writes.meets, reads))
