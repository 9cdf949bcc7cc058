"""Static lifetimes to one arena with offsets.

Each value is live from the equation that writes it to the last that reads it (through views). Values that die where
another of the same size is written at the same index share memory: updates happen in place. What remains is placed
greedily by size, largest first (Pisarchyk and Lee, 2020, "Efficient Memory Management for Deep Neural Net Inference",
section 5), each at the lowest offset free for its lifetime. Of thousands, those of one size are placed by themselves.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import NamedTuple

from retrograde.ir import Equation, Graph, Literal, Var
from retrograde.ir.layout import aligned
from retrograde.ops.branch import branch
from retrograde.ops.control import by_rows, fused, product, scan, straight

MANY, FREQUENT = 2000, 200  # blocks, and blocks of one size, beyond which they stand on shelves


class Slot(NamedTuple):
    """A place: `kind` is "input" or "output" (with its number) or "arena" (with its offset in bytes)."""

    kind: str
    index: int


@dataclass
class Block:
    """A stretch of the arena for a stretch of the run."""

    nbytes: int
    start: int
    end: int
    owner: str
    offset: int = 0


@dataclass
class MemoryPlan:
    """`slots` of a graph's own values, `nested` plans of graphs in its equations, `scratch` offsets by equation, `peak` bytes."""

    slots: dict[Var, Slot]
    peak: int
    nested: dict[Graph, MemoryPlan] = field(default_factory=dict)
    scratch: dict[Equation, int] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"arena: {self.peak:,} bytes at the peak"]
        for block in sorted(self.blocks, key=lambda b: (b.start, b.offset)):
            when = f"steps {block.start:>3}-{block.end:<3}"
            lines.append(f"  {when} {block.nbytes:>12,} bytes at {block.offset:>10}  {block.owner}")
        return "\n".join(lines)


def plan_memory(
    graph: Graph, scratch: Callable[[Equation], int] = lambda eq: 0, carried: range = range(0)
) -> MemoryPlan:
    """Plan a settled graph. `scratch` says how many bytes an equation needs for its own work.

    In a loop body, `carried` are the numbers of the inputs that are carried; the first outputs are their next values.
    """
    roots, last = _lifetimes(graph)
    # what is carried on is copied home after the last equation, so that no reader of it is its last
    last |= {roots.get(var, var): len(graph.equations) for var in graph.outputs[: len(carried)] if isinstance(var, Var)}
    slots: dict[Var, Slot] = {var: Slot("input", i) for i, var in enumerate(graph.inputs)}
    slots.update((var, Slot("input", len(graph.inputs) + i)) for i, var in enumerate(graph.constants))
    plan = MemoryPlan(slots, 0)
    outputs = {var: j for j, var in enumerate(graph.outputs)}
    groups: dict[Var, Block] = {}
    for position, eq in enumerate(graph.equations):
        if eq.primitive.lowering == "view":
            continue
        partners = _in_place(eq, position, roots, last)
        for j, out in enumerate(eq.outputs):
            number = outputs.get(out)
            if number is not None and number >= len(carried):
                slots[out] = Slot("output", number)
                continue
            if number is not None:
                home = graph.inputs[carried[number]]
                if last.get(home, -1) < position or home in partners.get(j, ()):
                    slots[out] = Slot("input", carried[number])
                    continue
            partner = next((p for p in partners.get(j, ()) if p in groups and _free(p, eq, groups, slots)), None)
            end = len(graph.equations) if number is not None else last.get(out, position)
            if partner is not None:
                groups[out] = groups[partner]
                groups[out].end = max(groups[out].end, end)
                continue
            groups[out] = Block(out.type.nbytes, position, end, f"{out.name or eq.primitive.name} {out.type}")
            plan.blocks.append(groups[out])
        _plan_equation(plan, eq, position, scratch)
    plan.peak = _place(plan.blocks)
    plan.scratch = {eq: plan.blocks[i].offset for eq, i in plan.scratch.items()}
    for var, block in groups.items():
        slots[var] = Slot("arena", block.offset)
    return plan


def _plan_equation(plan: MemoryPlan, eq: Equation, position: int, scratch: Callable[[Equation], int]) -> None:
    """Room for a loop's body, for the largest branch, or for a kernel's own work, while the equation runs."""
    need = scratch(eq)
    if eq.primitive in (scan, branch):
        consts, carry = eq.params.get("num_consts", 0), eq.params.get("num_carry", 0)
        inner = [graph for _, graph in eq.graphs()]
        plan.nested |= {graph: plan_memory(graph, scratch, range(consts, consts + carry)) for graph in inner}
        need = max(plan.nested[graph].peak for graph in inner)
    if need:
        block = Block(need, position, position, f"work of {eq.primitive.name}")
        plan.blocks.append(block)
        plan.scratch[eq] = len(plan.blocks) - 1


def _lifetimes(graph: Graph) -> tuple[dict[Var, Var], dict[Var, int]]:
    """What each view looks at in the end, and the last equation that reads each value's memory."""
    roots: dict[Var, Var] = {}
    last: dict[Var, int] = {}
    for position, eq in enumerate(graph.equations):
        for atom in eq.inputs:
            if isinstance(atom, Var):
                last[roots.get(atom, atom)] = position
        if eq.primitive.lowering == "view" and not isinstance(eq.inputs[0], Literal):
            source = eq.inputs[0]
            roots[eq.outputs[0]] = roots.get(source, source)
    return roots, last


def _in_place(eq: Equation, position: int, roots: dict, last: dict) -> dict[int, list[Var]]:
    """For each output, the inputs that die here and that it may overwrite."""
    reads = [roots.get(a, a) for a in eq.inputs if isinstance(a, Var)]
    result: dict[int, list[Var]] = {}
    for i, var in enumerate(eq.inputs):
        if isinstance(var, Literal) or var in roots or last.get(var) != position or reads.count(var) != 1:
            continue
        for j in _overwritable(eq, i):
            if eq.outputs[j].type == var.type:
                result.setdefault(j, []).append(var)
    return result


def _overwritable(eq: Equation, i: int) -> list[int]:
    """Outputs that may be written into the memory of operand `i`."""
    if eq.primitive is straight:
        return list(range(len(eq.outputs)))  # all loads come before all stores
    if eq.primitive is by_rows:  # all of a row is loaded before any of it is stored
        return list(range(eq.params["kept"])) if eq.params["cut"][i] else []
    if eq.primitive is scan:
        k = i - eq.params["num_consts"]
        return [k] if 0 <= k < eq.params["num_carry"] else []
    if eq.primitive.overwrites == i:
        return [0]
    body: Graph = eq.params.get("body")
    if eq.primitive is product:
        first, *_, nest = body.equations
        if body.inputs[i] in first.inputs or body.inputs[i] not in nest.inputs:
            return []
        i = nest.inputs.index(body.inputs[i])
        return [j for j in _overwritable(nest, i) if j != eq.params["home"]]
    if eq.primitive is not fused:
        return []
    operand = body.inputs[i]
    for reader in body.equations:
        if operand in reader.inputs and (
            reader.primitive.lowering == "element" or operand.type.shape != reader.space
        ):
            return []
    written_late = {eq2.outputs[0] for eq2 in body.equations if eq2.primitive.lowering == "reduction"}
    return [j for j, out in enumerate(body.outputs) if out not in written_late and out.type == operand.type]


def _free(partner: Var, eq: Equation, groups: dict, slots: dict) -> bool:
    """Whether no other output of this equation took the partner's memory already."""
    return all(groups.get(out) is not groups[partner] for out in eq.outputs)


def _place(blocks: list[Block]) -> int:
    """Give each block its offset; returns the peak.

    First fit compares each block with all others, so that where there are very many, those of a frequent size stand on a
    shelf first: one block for all of them, in which each has a place that is free for its lifetime.
    """
    if len(blocks) <= MANY:
        return _first_fit(blocks)
    sizes: dict[int, list[Block]] = {}
    for block in blocks:
        sizes.setdefault(aligned(block.nbytes), []).append(block)
    shelves = [(_shelf(size, same), same) for size, same in sizes.items() if len(same) > FREQUENT]
    single = [block for same in sizes.values() if len(same) <= FREQUENT for block in same]
    peak = _first_fit([*single, *(shelf for shelf, _ in shelves)])
    for shelf, same in shelves:
        for block in same:
            block.offset += shelf.offset
    return peak


def _first_fit(blocks: list[Block]) -> int:
    """The largest first, each at the lowest offset that is free for its lifetime."""
    placed: list[Block] = []  # by offset
    for block in sorted(blocks, key=lambda b: (-b.nbytes, b.start)):
        offset, size = 0, aligned(block.nbytes)
        for other in placed:
            if other.start <= block.end and block.start <= other.end:
                if offset + size <= other.offset:
                    break
                offset = max(offset, other.offset + aligned(other.nbytes))
        block.offset = offset
        insort(placed, block, key=lambda b: b.offset)
    return max((b.offset + aligned(b.nbytes) for b in blocks), default=0)


def _shelf(size: int, blocks: list[Block]) -> Block:
    """A block that holds these of one size, each at the lowest place of those that are free when it begins."""
    free: list[int] = []
    taken: list[tuple[int, int]] = []  # when a place becomes free, and which
    places = 0
    for block in sorted(blocks, key=lambda b: b.start):
        while taken and taken[0][0] < block.start:
            heappush(free, heappop(taken)[1])
        if not free:
            heappush(free, places * size)
            places += 1
        block.offset = heappop(free)
        heappush(taken, (block.end, block.offset))
    return Block(places * size, min(b.start for b in blocks), max(b.end for b in blocks), f"shelf of {len(blocks)}")
