"""The pace of a shared loop: steps that a team does together, and stretches that its first thread does alone.

While a core is busy with another process, the thread that waits for it is late at every barrier, and a short step takes many
times as long on a team as on one thread. The first thread's share of everything is the largest, so alone it would take no more
than its own work times the number of threads, nor, once it has been alone, than it took then. A step that took longer, by the
processor's clock, is followed by so many that the first thread does alone that the time lost is a sixteenth of theirs;
meanwhile the others sleep at a barrier. Then all try again. The bits of the results do not depend on it: no sum is ever split.
"""

from __future__ import annotations

from collections.abc import Iterator

from llvmlite import ir

from retrograde.codegen.kernel import KernelEmitter
from retrograde.codegen.scalar import I64
from retrograde.codegen.team import AGREED_ALONE, ALONE, NEXT, WAITED, Team, barrier, cell, clock

ENDED = -1  # in place of the next step
UNKNOWN = 2**62  # ticks
AMORTIZED = 16  # times what a slow step lost is to be spent alone


def steps_alone(
    b: ir.IRBuilder, took: ir.Value, waited: ir.Value, owed: ir.Value, known: ir.Value, threads: ir.Value
) -> ir.Value:
    """How many steps the first thread is to do alone after one of the team: none if alone it would not have taken less.

    In ticks: the step took so long, of which the first thread waited, after a time that is still owed; alone it took `known`.
    """
    one = ir.Constant(I64, 1)
    own = b.sub(took, waited)
    most = b.mul(b.select(b.icmp_signed(">", own, one), own, one), threads)
    alone = b.select(b.icmp_signed("<", most, known), most, known)
    lost = b.add(b.sub(took, alone), owed)
    steps = b.add(b.sdiv(b.mul(lost, ir.Constant(I64, AMORTIZED)), alone), one)
    return b.select(b.icmp_signed(">", took, alone), steps, ir.Constant(I64, 0))


class Pace:
    """The steps of one shared loop. Code for a step is emitted for `team`, which is of one thread while that goes on alone."""

    def __init__(self, k: KernelEmitter, cells: ir.Value, team: Team):
        self.k, self.b, self.cells, self.whole = k, k.b, cells, team
        self.left, self.began, self.waited, self.owed, self.known = (k.alloca(I64) for _ in range(5))
        with self.b.goto_entry_block():
            self.b.store(k.index(UNKNOWN), self.known)  # of an outer loop's earlier step, too
        self.leave = self.b.append_basic_block("leave")  # where to go to end the loop within a step
        self.team = team

    def steps(self, begin: ir.Value, end: ir.Value) -> Iterator[ir.Value]:
        """A counting loop from `begin` to `end`; the code behind it is reached by `leave` too."""
        b, zero, one = self.b, self.k.index(0), self.k.index(1)
        header, body, rejoin, after = map(b.append_basic_block, ("steps", "step", "rejoin", "after_steps"))
        b.store(zero, self.left)
        self._meet()  # whoever slept at the barrier before this one is awake now
        self._start(zero)
        before = b.block
        b.branch(header)
        b.position_at_end(header)
        i = b.phi(I64)
        i.add_incoming(begin, before)
        alone = b.icmp_signed(">", b.load(self.left, typ=I64), zero)
        self.team = Team(self.whole.thread, b.select(alone, one, self.whole.threads))
        b.cbranch(b.icmp_signed("<", i, end), body, self.leave)
        b.position_at_end(body)
        yield i
        onward = b.add(i, one)
        for block in self._turn(alone, onward, header, rejoin):
            i.add_incoming(onward, block)
        b.position_at_end(rejoin)
        i.add_incoming(self._rejoin(header, after), b.block)
        b.position_at_end(self.leave)
        with b.if_then(b.icmp_signed(">", b.load(self.left, typ=I64), zero)):
            self._store(NEXT, self.k.index(ENDED))
            self._meet()
        b.branch(after)
        b.position_at_end(after)

    def judge(self) -> None:
        """At the end of a step, before the barrier: the first thread says how many of the next it will do alone."""
        b = self.b
        with b.if_then(self.whole.is_first(b)):
            took = b.sub(clock(b), b.load(self.began, typ=I64))
            with b.if_else(b.icmp_signed("==", self.team.threads, self.k.index(1))) as (alone, together):
                with alone:
                    b.store(took, self.known)
                with together:
                    waited = b.sub(self._load(WAITED), b.load(self.waited, typ=I64))
                    owed, known = b.load(self.owed, typ=I64), b.load(self.known, typ=I64)
                    self._store(ALONE, steps_alone(b, took, waited, owed, known, self.whole.threads))
            self._start(self.k.index(0))

    def _start(self, owed: ir.Value) -> None:
        """A step begins now, and so much time was lost before it."""
        b = self.b
        b.store(clock(b), self.began)
        b.store(self._load(WAITED), self.waited)
        b.store(owed, self.owed)

    def _turn(self, alone: ir.Value, onward: ir.Value, header: ir.Block, rejoin: ir.Block) -> list[ir.Block]:
        """Behind a step, on to the next one or to the barrier where the team meets again; returns what goes to the header."""
        b, zero = self.b, self.k.index(0)
        still, together, last, part, first = map(b.append_basic_block, ("still", "together", "last", "part", "first"))
        b.cbranch(alone, still, together)

        b.position_at_end(still)
        left = b.sub(b.load(self.left, typ=I64), self.k.index(1))
        b.store(left, self.left)
        b.cbranch(b.icmp_signed(">", left, zero), header, last)
        b.position_at_end(last)
        self._store(NEXT, onward)
        b.branch(rejoin)

        b.position_at_end(together)
        wanted = self._load(AGREED_ALONE)
        several = b.icmp_signed(">", self.whole.threads, self.k.index(1))  # else no barrier has agreed on anything
        b.cbranch(b.and_(several, b.icmp_signed(">", wanted, zero)), part, header)
        b.position_at_end(part)
        b.cbranch(self.whole.is_first(b), first, rejoin)
        b.position_at_end(first)
        b.store(wanted, self.left)
        b.branch(header)
        return [still, together, first]

    def _rejoin(self, header: ir.Block, after: ir.Block) -> ir.Value:
        """All meet, where the first thread arrived; then once more, as the others may have slept: that is time lost as well."""
        b = self.b
        self._meet()
        step, awake = self._load(NEXT), b.append_basic_block("awake")
        b.cbranch(b.icmp_signed("==", step, self.k.index(ENDED)), after, awake)
        b.position_at_end(awake)
        began = clock(b)
        self._meet()
        b.store(self.k.index(0), self.left)
        self._start(b.sub(clock(b), began))
        b.branch(header)
        return step

    def _meet(self) -> None:
        self.b.call(barrier(self.b.module), [self.cells, self.whole.thread, self.whole.threads])

    def _load(self, byte: int) -> ir.Value:
        return self.b.load(cell(self.b, self.cells, byte), typ=I64)

    def _store(self, byte: int, value: ir.Value) -> None:
        self.b.store(value, cell(self.b, self.cells, byte))  # plain: a barrier lies between whoever writes and whoever reads
