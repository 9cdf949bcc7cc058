"""`retrograde check`: a model's gradient against finite differences, and what its numbers say of its health."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from retrograde import explore
from retrograde.checking import check
from retrograde.cli.answer import Answer
from retrograde.cli.network import points_for
from retrograde.cli.predicting import as_table_model, known_rows, read_for_model
from retrograde.cli.training import KIND
from retrograde.errors import CheckError, ModelError
from retrograde.io.model_file import load
from retrograde.nn.losses import cross_entropy, mse

LOOKED_AT = 256  # points that the diagnosis sees, at most


def check_model(path: str, table: str | None, rows: int, shape: str, seed: int) -> Answer:
    """Check and diagnose; the exit code is 1 where the gradient is off, or a number not finite, or a parameter cannot learn."""
    if rows < 1:
        raise ModelError(f"--rows must be at least 1; it is {rows}")
    net, extra = load(path)
    criterion, x, y = _points(path, net, extra, table, shape, np.random.default_rng(seed))

    def loss(net: Any, x: Any, y: Any) -> Any:
        return criterion(net(x), y)

    record = explore(loss)(net, x, y)
    finite = np.isfinite(record.loss) and all(_moves(parameter) for parameter in record.parameters)
    report, faults = None, []
    if finite:  # differences of NaN say nothing
        try:
            report = check(loss, seed=seed)(net, x[:rows], y[:rows])
        except CheckError as error:
            faults = str(error).splitlines()
    findings, wrong = record.diagnose(), bool(faults) or not finite
    data = {
        "model": path, "rows": len(x[:rows]), "loss": record.loss, "ok": not wrong, "gradient_faults": faults,
        "operations": [] if report is None else [{"op": r.op, "compared": r.compared, "error": r.error} for r in report.rows],
        "findings": findings,
    }  # fmt: skip

    def tell() -> None:
        print(f"loss {record.loss:.6g} on {len(x):,} {'rows of ' + table if table else 'random points'}")
        if report is not None:
            compared, worst = sum(row.compared for row in report.rows), max(row.error for row in report.rows)
            print(f"the gradient is right: {compared:,} elements agree with finite differences in float64, up to {worst:.1e}")
        for line in (*faults, *findings):
            print(line)
        print("something is wrong" if wrong else "nothing is wrong" if not findings else "nothing is wrong, but see above")

    return Answer(data, tell, code=int(wrong))


def _points(
    path: str, net: Any, extra: dict[str, Any], table: str | None, shape: str, rng: np.random.Generator
) -> tuple[Callable, np.ndarray, np.ndarray]:
    """The model's loss, and points for it: rows of the table, or random ones where there is none."""
    if extra.get("kind") != KIND:
        if table is not None:
            raise ModelError(f"{path} holds a network but not how to read a table; check it without one")
        x = points_for(net, shape, LOOKED_AT, rng)
        return mse, x, rng.normal(size=np.shape(net(x))).astype(np.float32)
    net, target, preprocessor = as_table_model(path, net, extra)
    criterion = cross_entropy if target.task == "classification" else mse
    if table is None:
        x = rng.normal(size=(LOOKED_AT, preprocessor.width)).astype(np.float32)
        classes = target.outputs
        y = rng.integers(classes, size=len(x)) if criterion is cross_entropy else rng.normal(size=(len(x), 1)).astype(np.float32)
        return criterion, x, y
    read = read_for_model(table, target, preprocessor)
    taken = rng.permutation(known_rows(read, target, ", which the loss needs"))[:LOOKED_AT]
    x = preprocessor.transform(preprocessor.read(read.take(taken)))
    return criterion, x, target.encode(target.values(read.column(target.name).take(taken)))


def _moves(parameter: Any) -> bool:
    """Whether a parameter and its derivative are finite, and any of the derivative is not 0."""
    ct = parameter.cotangent
    return ct is not None and bool(np.isfinite(parameter.value).all() and np.isfinite(ct).all() and np.any(ct))
