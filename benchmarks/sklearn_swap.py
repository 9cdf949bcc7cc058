"""scikit-learn's MLP and retrograde's in its place: the same parameters, another import.

    python benchmarks/sklearn_swap.py [--rounds 7] [--quick] [--peers retrograde,sklearn]

`fit` of standardized points with the default parameters (100 hidden units, Adam, batch 200, the default rule to stop) and the
given number of epochs at most, then the score on the quarter of the points that was held out. The time is that of the whole call
of `fit`. Round i is of random_state=i, for every peer; the two draw the same first parameters from it, but shuffle otherwise, so
scores differ by chance. "First fit" is the first of its shape on a machine, when its code is made; "fresh process" is the first
in a process, which loads the code from the disk; later ones find it in memory. "Predict" is of all training points. Points in
float64 are computed in float64 by both, those in float32 in float32. The table of 20,640 houses is drawn, in the shape of
California's: eight features, a target of products, ratios and noise.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness import PAUSE, Row, quartiles, run_script

UNIT = "ms"
NAMES = {
    "retrograde": "retrograde.sklearn", "sklearn": "sklearn.neural_network",
    "retrograde-f32": "retrograde.sklearn, float32", "sklearn-f32": "sklearn.neural_network, float32",
}  # fmt: skip
Points = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Problem:
    """A data set, the class of the estimators, and how many epochs they get."""

    name: str
    points: Callable[[], Points]
    estimator: str
    epochs: int


def digits() -> Points:
    """1,797 images of 64 grey values, ten classes."""
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


def cancer() -> Points:
    """569 tumors, 30 measures, two classes."""
    from sklearn.datasets import load_breast_cancer

    return load_breast_cancer(return_X_y=True)


def houses() -> Points:
    """20,640 houses that are drawn, eight features, a price."""
    rng = np.random.default_rng(0)
    X = np.exp(rng.normal(size=(20_640, 8)) * 0.5)
    place = np.sin(2 * X[:, 6]) * np.cos(2 * X[:, 7])
    return X, X[:, 0] * np.sqrt(X[:, 2]) / X[:, 5] + place + 0.3 * rng.normal(size=len(X))


def table() -> Points:
    """50,000 rows of 30 features, two classes, a tenth of the labels wrong."""
    from sklearn.datasets import make_classification

    return make_classification(50_000, 30, n_informative=12, n_clusters_per_class=6, flip_y=0.1, random_state=0)


PROBLEMS = (
    Problem("1,797 digits, 64-100-10, 200 epochs at most", digits, "MLPClassifier", 200),
    Problem("569 tumors, 30-100-1, 200 epochs at most", cancer, "MLPClassifier", 200),
    Problem("20,640 houses, 8-100-1, 40 epochs at most", houses, "MLPRegressor", 40),
    Problem("50,000 rows, 30-100-1, 20 epochs at most", table, "MLPClassifier", 20),
)


@dataclass
class Result:
    """One fit, in seconds, and what came of it."""

    fit: float
    predict: float
    score: float
    epochs: int


def fitted(peer: str, problem: Problem, parts: Sequence[np.ndarray], seed: int) -> Result:
    """Fit and score one estimator."""
    from sklearn import neural_network

    from retrograde import sklearn as swapped

    X, held, y, wanted = parts
    if peer.endswith("f32"):
        X, held = X.astype(np.float32), held.astype(np.float32)
    place: Any = swapped if peer.startswith("retrograde") else neural_network
    model = getattr(place, problem.estimator)(max_iter=problem.epochs, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        time.sleep(PAUSE)
        begun = time.perf_counter()
        model.fit(X, y)
        fit = time.perf_counter() - begun
    model.predict(X)
    begun = time.perf_counter()
    model.predict(X)
    return Result(fit, time.perf_counter() - begun, model.score(held, wanted), model.n_iter_)


def forgotten(f: Callable[..., Result], *arguments: Any) -> Result:
    """`f` of the arguments, with no program of an earlier fit in memory."""
    from retrograde.sklearn import base
    from retrograde.train import Programs

    kept, base.PROGRAMS = base.PROGRAMS, Programs()
    try:
        return f(*arguments)
    finally:
        base.PROGRAMS = kept


def rows_of(problem: Problem, peers: Sequence[str], rounds: int) -> list[Row]:
    """A table: the peers in turn, round by round."""
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    X, y = problem.points()
    parts = train_test_split(StandardScaler().fit_transform(X), y, random_state=0)
    first = {peer: fitted(peer, problem, parts, 0).fit for peer in peers}
    fresh = {peer: forgotten(fitted, peer, problem, parts, 0).fit for peer in peers if peer.startswith("retrograde")}
    found = [{peer: fitted(peer, problem, parts, i) for peer in peers} for i in range(rounds)]
    rows = []
    for peer in peers:
        results = [results[peer] for results in found]
        median, low, high = quartiles([1e3 * r.fit for r in results])
        ours = peer.replace("sklearn", "retrograde")
        base = statistics.median(1e3 * result[ours].fit for result in found) if ours in peers else None
        cells = {
            "first fit": f"{1e3 * first[peer]:,.0f}", "fresh process": f"{1e3 * fresh[peer]:,.0f}" if peer in fresh else "",
            "predict": f"{1e3 * statistics.median(r.predict for r in results):.2f}",
            "score": f"{statistics.mean(r.score for r in results):.4f}",
            "epochs": f"{statistics.mean(r.epochs for r in results):.0f}",
        }  # fmt: skip
        rows.append(Row(problem.name, NAMES[peer], median, low, high, median / base if base else None, cells, peer))
    return rows


def measure(rounds: int = 7, *, quick: bool = False, peers: Sequence[str] | None = None) -> list[Row]:
    """The rows of all tables; `quick` takes three rounds at most. A ratio is to retrograde in the same precision."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"RETROGRADE_CACHE_DIR": folder, "RETROGRADE_CACHE": "1"}
        return [row for p in PROBLEMS for row in rows_of(p, peers or list(NAMES), min(rounds, 3) if quick else rounds)]


if __name__ == "__main__":
    run_script(__doc__, NAMES, measure, UNIT)
