"""The driver of a run: calls the program for a stretch of epochs at a time and gathers the history of each start."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Any

import numpy as np

from retrograde import random, tree
from retrograde.train.data import Data
from retrograde.train.gradient import held_types, make_gradient
from retrograde.train.program import Settings, make_many, make_program, start
from retrograde.train.programs import Programs
from retrograde.train.resume import Progress, resumed
from retrograde.train.run import Run, best_of
from retrograde.transforms import trace


class Driver:
    """One run, of one start or of many."""

    def __init__(
        self, nets: list, points: Data, settings: Settings, epochs: int, seed: int, callbacks: list, progress: bool,
        programs: Programs | None,
    ):  # fmt: skip
        self.nets, self.points, self.settings, self.epochs, self.seed = nets, points, settings, epochs, seed
        self.callbacks, self.progress, self.programs = callbacks, progress, programs  # without programs it is interpreted
        self.many = len(nets) > 1
        self.rows: list[dict[str, list[np.ndarray]]] = [{} for _ in nets]
        self.done = [0] * len(nets)
        self.seconds = 0.0
        self.interrupted = False

    def run(self, resume: Any = None) -> Run:
        from retrograde.train.progress import progress_bar

        p, settings = self.points, self.settings
        make = make_many if self.many else make_program
        carries = [start(n, settings, random.key(self.seed + i)) for i, n in enumerate(self.nets)]
        if resume is not None:
            carries = [self._take_up(resumed(resume, carries[0]))]
        arrays = (p.X, p.y, p.weight, p.Xv, p.yv)
        began = time.perf_counter()
        arguments = (self._join(carries), *arrays, np.int64(0))
        native = self.programs.of(settings, make, arguments) if self.programs is not None else None
        plan = native.lower(*arguments) if native is not None else None
        compile_seconds = time.perf_counter() - began
        spare: list[np.ndarray] | None = None  # fresh memory is slow to write first, so stretches take turns between two sets
        stretch = 1 if self.progress or self.callbacks else self.epochs
        reached = first = max(self.done)
        with progress_bar(self.progress, self.epochs) as show:
            try:
                while reached < self.epochs and not self.interrupted:
                    limit = min(reached + min(stretch, settings.length), self.epochs)
                    given = self._join(carries)
                    spare = spare or [np.array(leaf) for leaf in tree.tree_leaves(given)]
                    began = time.perf_counter()
                    if native is None:
                        with np.errstate(all="ignore") if settings.narrow is not None else nullcontext():
                            found, stopped = make(settings)(given, *arrays, np.int64(limit)), False
                    else:
                        found, stopped = native.run_interruptible(given, *arrays, np.int64(limit), into=spare)
                        mine = self.many or reached > first  # not the caller's network
                        spare = [np.asarray(leaf) for leaf in tree.tree_leaves(given)] if mine else None
                    took = time.perf_counter() - began
                    carries = self._gather(carries, *self._part(found), took)
                    self.interrupted = stopped
                    finished, reached = max(self.done) - reached, max(self.done)
                    if finished:
                        show(reached, self._history(), sum(map(self._updates, range(len(self.nets)))) / self.seconds)
                    if all(map(self._ended, carries)) or self._called_back():
                        break
                    if self.progress and not self.callbacks:  # come back about ten times a second
                        stretch = max(1, int(finished * 0.1 / max(took, 1e-6)))
            except KeyboardInterrupt:  # between two stretches: what is finished is whole
                if not any(self.done):
                    raise
                self.interrupted = True
        return self._result(carries, compile_seconds, plan)

    def _take_up(self, progress: Progress) -> Any:
        """Begin where another run stopped; returns its carry."""
        self.rows = [{name: [values] for name, values in progress.rows.items()}]
        self.done, self.seconds = [int(progress.carry["epoch"])], progress.seconds
        return progress.carry

    def _join(self, carries: list[Any]) -> Any:
        """The carries of all starts as one, stacked along a first axis where there are many."""
        return tree.tree_map(lambda *leaves: np.stack(leaves), *carries) if self.many else carries[0]

    def _part(self, found: Any) -> tuple[list[Any], list[Any]]:
        """The carries and the history rows of each start."""
        if not self.many:
            return [found[0]], [found[1]]
        carries, rows = found

        def of_start(i: int, whole: Any) -> Any:
            return tree.tree_map(lambda leaf: leaf[i], whole)

        starts = range(len(self.nets))
        return [of_start(i, carries) for i in starts], [of_start(i, rows) for i in starts]

    def _ended(self, carry: Any) -> bool:
        """Whether early stopping ended this start."""
        return self.settings.stopping is not None and bool(self.settings.stopping.ended(carry))

    def _gather(self, old: list[Any], new: list[Any], rows: list[Any], took: float) -> list[Any]:
        """Take in what a stretch gave to each start that was still going on; returns the carries to go on from."""
        self.seconds += took
        result = []
        for i, (before, after) in enumerate(zip(old, new)):
            finished = int(after["epoch"]) - self.done[i]
            if self._ended(before) or finished <= 0:  # it had stopped, or Ctrl-C came before its turn
                result.append(before)
                continue
            for name, values in rows[i].items():
                self.rows[i].setdefault(name, []).append(np.asarray(values[:finished], np.float64))
            self.done[i] += finished
            result.append(after)
        return result

    def _called_back(self) -> bool:
        answers = [callback(self._history()) for callback in self.callbacks]  # each is asked, whatever the others say
        return any(answer is True for answer in answers)

    def _history(self) -> dict[str, np.ndarray]:
        """What callbacks see: one array a figure, of all starts where there are many."""
        each = [self._history_of(i) for i in range(len(self.nets)) if self.done[i]]
        if not self.many:
            return each[0]
        longest = max(self.done)
        return {
            name: np.stack([np.pad(h[name], (0, longest - len(h[name])), constant_values=np.nan) for h in each])
            for name in each[0]
        }

    def _history_of(self, i: int) -> dict[str, np.ndarray]:
        return {name: np.concatenate(parts) for name, parts in self.rows[i].items() if name != "seen"}

    def _updates(self, i: int) -> int:
        return int(sum(np.ceil(part / self.settings.batch).sum() for part in self.rows[i].get("seen", [])))

    def _result(self, carries: list[Any], compile_seconds: float, plan: Any) -> Run:
        price = _price(self.nets[0], self.points, self.settings)
        runs = [self._run_of(i, c, compile_seconds, plan, price) for i, c in enumerate(carries) if self.done[i]]
        return runs[0] if not self.many else best_of(runs)

    def _run_of(self, i: int, carry: Any, compile_seconds: float, plan: Any, price: tuple[float, int]) -> Run:
        settings, best = self.settings, None
        model = carry["params"]
        if "best" in carry and int(carry["best_epoch"]) > 0:
            model, best = carry["best"], int(carry["best_epoch"])
        rows = {name: np.concatenate(parts) for name, parts in self.rows[i].items()}
        return Run(
            progress=Progress(carry, rows, self.seconds),
            model=model, history=self._history_of(i), seed=self.seed + i, points=self.points.n, batch_size=settings.batch,
            updates=self._updates(i), seconds=self.seconds, compile_seconds=compile_seconds, interrupted=self.interrupted,
            optimizer=settings.optimizer, optimizer_state=carry["state"], best_epoch=best, flops_per_update=price[0],
            held_bytes=price[1], program=plan, precision=None if settings.narrow is None else settings.narrow.name,
            skipped_updates=int(carry["scaling"]["skipped"]) if carry["scaling"] is not None else 0,
        )  # fmt: skip


def _price(net: Any, points: Data, settings: Settings) -> tuple[float, int]:
    """Floating-point operations of one gradient of a batch, and bytes that its backward pass needs kept."""
    x, y = points.X[: settings.batch], points.y[: settings.batch]

    gradient, held = make_gradient(settings.loss, settings.narrow), []

    def priced(params: Any, x: Any, y: Any) -> Any:
        """The gradient; traced, so that the forward pass behind what is held is not computed."""
        held.extend(held_types(settings.loss, settings.narrow)(params, x, y))
        return gradient(params, x, y, None, None)

    graph = trace(priced)(net, x, y)
    flops = sum(
        eq.primitive.count_flops([a.type for a in eq.inputs], [o.type for o in eq.outputs], eq.params) for eq in graph.equations
    )
    return flops, sum(t.nbytes for t in held)
