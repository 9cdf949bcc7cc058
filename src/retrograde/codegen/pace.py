"""The pace of a shared loop: steps that a team does together, and stretches that its first thread does alone.

While a core is busy with another process, the thread that waits for it is late at every barrier, and a short step takes many
times as long on a team as on one thread. So the first thread keeps an account, by the processor's clock, of what the team saves
and loses: the time that it would take alone, less that which the step took. The former is what it last took alone, or its own
work times the number of threads if that is less, as its share of everything is the largest. Where all that was saved lately is
lost, it goes on alone for sixteen times what is lost beyond that, while the others sleep at a barrier. Then all try again. So a
team is not much slower than one thread, and a short disturbance changes nothing. The bits of the results do not depend on it:
no sum is ever split.
"""

from __future__ import annotations

from collections.abc import Iterator

from llvmlite import ir

from retrograde.codegen.kernel import KernelEmitter
from retrograde.codegen.scalar import I64
from retrograde.codegen.team import AGREED_ALONE, ALONE, NEXT, WAITED, Team, barrier, cell, clock

ENDED = -1  # in place of the next step
UNKNOWN = 2**62  # ticks
AMORTIZED = 16  # times what a team lost is to be spent alone
FORGET = 10  # what a team saved counts for about 2**FORGET steps
ASK, ANSWER = 256, 2  # after so many steps of a team the first thread tries what it takes alone, for so many


def steps_alone(
    b: ir.IRBuilder, took: ir.Value, waited: ir.Value, known: ir.Value, threads: ir.Value, saved: ir.Value
) -> tuple[ir.Value, ir.Value]:
    """How many steps the first thread is to do alone after one of the team, and what the team has `saved` then.

    In ticks: the step took so long, of which the first thread waited; alone it took `known`.
    """
    zero, one = ir.Constant(I64, 0), ir.Constant(I64, 1)
    most = b.mul(b.sub(took, waited), threads)
    alone = b.select(b.icmp_signed("<", most, known), most, known)
    alone = b.select(b.icmp_signed(">", alone, one), alone, one)  # a clock may stand still, or be set back
    saved = b.sub(b.add(b.sub(saved, b.ashr(saved, ir.Constant(I64, FORGET))), alone), took)
    lost = b.icmp_signed("<", saved, zero)
    steps = b.add(b.sdiv(b.mul(b.neg(saved), ir.Constant(I64, AMORTIZED)), alone), one)
    return b.select(lost, steps, zero), b.select(lost, zero, saved)


class Pace:
    """The steps of one shared loop. Code for a step is emitted for `team`, which is of one thread while that goes on alone."""

    def __init__(self, k: KernelEmitter, cells: ir.Value, team: Team):
        self.k, self.b, self.cells, self.whole = k, k.b, cells, team
        self.left, self.began, self.waited, self.known, self.saved, self.asked = (k.alloca(I64) for _ in range(6))
        with self.b.goto_entry_block():  # what an outer loop's earlier step has found stays known
            for slot, value in ((self.known, UNKNOWN), (self.saved, 0), (self.asked, 0)):
                self.b.store(k.index(value), slot)
        self.leave = self.b.append_basic_block("leave")  # where to go to end the loop within a step
        self.team = team

    def steps(self, begin: ir.Value, end: ir.Value) -> Iterator[ir.Value]:
        """A counting loop from `begin` to `end`; the code behind it is reached by `leave` too."""
        b, zero, one = self.b, self.k.index(0), self.k.index(1)
        header, body, rejoin, after = map(b.append_basic_block, ("steps", "step", "rejoin", "after_steps"))
        b.store(zero, self.left)
        self._meet()  # whoever slept at the barrier before this one is awake now
        self._start()
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
                    self._store(ALONE, self._wanted(took))
            self._start()

    def _wanted(self, took: ir.Value) -> ir.Value:
        """How many steps to do alone after one of the team that took so long."""
        b, zero = self.b, self.k.index(0)
        known = b.load(self.known, typ=I64)
        waited = b.sub(self._load(WAITED), b.load(self.waited, typ=I64))
        wanted, saved = steps_alone(b, took, waited, known, self.whole.threads, b.load(self.saved, typ=I64))
        asked = b.add(b.load(self.asked, typ=I64), self.k.index(1))
        b.store(saved, self.saved)
        b.store(asked, self.asked)
        ask = b.and_(b.icmp_signed("==", asked, self.k.index(ASK)), b.icmp_signed("==", known, self.k.index(UNKNOWN)))
        return b.select(b.and_(ask, b.icmp_signed("==", wanted, zero)), self.k.index(ANSWER), wanted)

    def _start(self) -> None:
        """A step begins now."""
        self.b.store(clock(self.b), self.began)
        self.b.store(self._load(WAITED), self.waited)

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
        b.store(b.sub(b.load(self.saved, typ=I64), b.sub(clock(b), began)), self.saved)
        b.store(self.k.index(0), self.left)
        self._start()
        b.branch(header)
        return step

    def _meet(self) -> None:
        self.b.call(barrier(self.b.module), [self.cells, self.whole.thread, self.whole.threads])

    def _load(self, byte: int) -> ir.Value:
        return self.b.load(cell(self.b, self.cells, byte), typ=I64)

    def _store(self, byte: int, value: ir.Value) -> None:
        self.b.store(value, cell(self.b, self.cells, byte))  # plain: a barrier lies between whoever writes and whoever reads
