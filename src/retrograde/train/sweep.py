"""`sweep`: train again and again with other settings, and rank what comes of it."""

from __future__ import annotations

import inspect
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from retrograde.errors import DivergenceWarning, ModelError, RetrogradeError
from retrograde.train.data import check_whole
from retrograde.train.lock import locked
from retrograde.train.programs import Programs
from retrograde.train.run import Run
from retrograde.train.search import Search, get_search
from retrograde.train.space import Parameters, as_json, check_space, described, plain
from retrograde.train.trials import Log, Sweep, Trial

TRIALS = 20  # where neither the grid nor the person says how many
KEPT = 32  # programs


def sweep(
    train: Callable[..., Any],
    space: Mapping[str, Any],
    *,
    trials: int | None = None,
    method: str = "random",
    seed: int = 0,
    compiled: bool | Programs = True,
    folder: Any = None,
    resume: bool = False,
    keep_runs: bool = True,
    progress: bool = False,
    sampler: Any = None,
    pruner: Any = None,
) -> Sweep:
    """Call `train(**parameters)` for parameters out of `space` and return all trials, ranked.

    train: returns the `Run` of its `fit`, which is ranked by `run.score`, or a number, the lower the better. Where it has
    arguments of these names, or **how, it is given for its call of `fit` as well: `seed`, the trial's own; `compiled`, the
    programs of the sweep; and `callbacks`, by which a pruner stops it. With compiled=compiled, trials that differ only in seed,
    learning rate, weight decay, l1 or l2 share one program, and nothing is compiled anew. Validation points are best given as
    (X, y): a fraction is drawn by the seed, so that each trial would have others.
    space: for each parameter a list of values or a distribution of scipy.stats, such as loguniform(1e-4, 1e-1).
    method: "grid", all combinations of lists, or the first `trials` of them; "random", `trials` draws (by default 20; of lists
    alone no combination comes twice); "optuna" (the extra `optuna`), its TPE or the `sampler` given, with a `pruner` such as
    optuna.pruners.MedianPruner() if there is one. seed: of all that is drawn. The same sweep gives the same trials, and a longer
    one begins with them.

    folder: a place for sweep.jsonl, a line a trial, and best.safetensors, the best run so far. resume=True begins it or goes on
    with it, with more trials, too. keep_runs=False lets go of all runs but the best one, keep_runs=True of their points, of which
    each may hold a copy: only of the best one updates can be opened.

    Ctrl-C ends the sweep and returns the trials so far. A trial that diverges or whose call raises is recorded with its error,
    and the sweep goes on; only what the first one raises, if it is no error of retrograde's, is raised, for the function is at
    fault. Raises `ModelError` for a space or settings that do not fit.
    """
    if trials is not None:
        check_whole("trials", trials, 1, ", or None")
    check_whole("seed", seed, 0)
    space = check_space(space)
    search = get_search(method, space, seed, sampler, pruner)
    most = trials if trials is not None else math.inf if method == "grid" else TRIALS
    programs = Programs(KEPT) if compiled is True else compiled
    if folder is None and resume:
        raise ModelError('resume=True goes on with the sweep in folder="..."; give the folder')
    about = {"space": {name: described(values) for name, values in space.items()}, "method": method, "seed": seed}
    with nullcontext() if folder is None else locked(Path(folder)):
        log = Log(folder, about, resume) if folder is not None else None
        found = _gone_over(search, log.read() if log is not None else [], most)
        interrupted = False
        try:
            with _shown(progress, most) as show:
                while len(found) < most and not interrupted and (parameters := search.ask()) is not None:
                    trial = _tried(train, parameters, len(found), seed, programs, search)
                    interrupted = trial.state == "interrupted"
                    search.tell(trial)
                    _take(found, trial, None if interrupted else log, keep_runs)
                    show(found)
        except KeyboardInterrupt:
            interrupted = True
    return Sweep(tuple(found), interrupted)


def _take(found: list[Trial], trial: Trial, log: Log | None, keep_runs: bool) -> None:
    """Add a trial to those that were made and to the file."""
    first = min((t for t in found if t.state == "done"), key=lambda t: t.score, default=None)
    best = trial.state == "done" and (first is None or trial.score < first.score)
    if log is not None:
        log.write(trial, best)
    if best and first is not None:
        found[first.number] = _lighter(first, keep_runs)
    found.append(trial if best else _lighter(trial, keep_runs))


def _lighter(trial: Trial, keep_run: bool) -> Trial:
    """A trial that is not the best, without its points or its run."""
    return replace(trial, run=trial.run.without("replay") if keep_run and trial.run is not None else None)


def _gone_over(search: Search, known: list[Trial], most: float) -> list[Trial]:
    """The trials of a file, with parameters as the search gives them, which hears again what came of each."""
    found: list[Trial] = []
    for trial in known[: None if most == math.inf else int(most)]:
        parameters = search.ask()
        if parameters is None or as_json(parameters) != trial.parameters:
            raise ModelError(f"trial {trial.number} of the folder was of {trial.parameters}, and would be of {parameters} now: "
                             "what draws from the space has changed; choose another folder")  # fmt: skip
        found.append(replace(trial, parameters=parameters))
        search.tell(found[-1])
    return found


def _tried(
    train: Callable, parameters: Parameters, number: int, seed: int, programs: bool | Programs, search: Search
) -> Trial:  # fmt: skip
    """One call, timed; what it raises is noted, but for the first one if it is no error of ours."""
    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    pruning = search.callback()
    offered = {"seed": own, "compiled": programs, "callbacks": [] if pruning is None else [pruning]}
    given = {name: value for name, value in offered.items() if name not in parameters and _takes(train, name)}
    trial = Trial(number, parameters, own)
    began = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DivergenceWarning)  # it is the trial's state
            result = train(**parameters, **given)
    except Exception as error:
        if number == 0 and not isinstance(error, RetrogradeError):
            raise
        trial = replace(trial, state="failed", error=f"{type(error).__name__}: {error}")
    else:
        trial = _judged(trial, result, pruning is not None and pruning.pruned)
    curve = () if pruning is None else tuple(pruning.curve)
    return replace(trial, seconds=time.perf_counter() - began, curve=curve)


def _judged(trial: Trial, result: Any, pruned: bool) -> Trial:
    """The trial with the score, state and figures of what its call returned."""
    if isinstance(result, Run):
        at = (result.best_epoch or result.epochs) - 1
        figures = {name: float(values[at]) for name, values in result.history.items()}
        trial = replace(trial, score=result.score, run=result, epochs=result.epochs, figures=figures)
    elif isinstance(number := plain(result), (int, float)) and not isinstance(number, bool):
        trial = replace(trial, score=float(number))
    elif trial.number:
        return replace(trial, state="failed", error=f"it returned {result!r}, no Run and no number")
    else:
        raise ModelError(f"the function must return the Run of its fit, or a number, lower is better; it returned {result!r}")
    if isinstance(result, Run) and result.interrupted:
        return replace(trial, state="interrupted")
    if pruned:
        return replace(trial, state="pruned")
    return trial if math.isfinite(trial.score) else replace(trial, state="diverged")


def _takes(f: Callable, name: str) -> bool:
    """Whether a function has an argument of this name, or takes any."""
    try:
        parameters = inspect.signature(f).parameters
    except (TypeError, ValueError):
        return False
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


@contextmanager
def _shown(wanted: bool, most: float) -> Iterator[Callable[[list[Trial]], None]]:
    """Yields `show(trials so far)`: a line in the terminal."""
    if not wanted:
        yield lambda found: None
        return
    from rich.progress import Progress, TextColumn

    with Progress(*Progress.get_default_columns(), TextColumn("{task.fields[best]}")) as bar:
        task = bar.add_task("trials", total=None if most == math.inf else most, best="")

        def show(found: list[Trial]) -> None:
            first = Sweep(tuple(found)).ranked[0]
            bar.update(task, completed=len(found), best=f"best {first.score:.4g}, trial {first.number}")

        yield show
