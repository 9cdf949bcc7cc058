"""Callbacks that tell other programs the figures of a run: TensorBoard, MLflow. Each imports its package when first called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


class TensorBoard:
    """Among the callbacks of `fit`: scalars of each epoch, as event files in `folder`, by tensorboardX.

    A run that goes on in the same folder cuts what it had written behind the epoch it goes on from.
    """

    def __init__(self, folder: Any):
        self.folder, self.writer = folder, None

    def __call__(self, history: dict[str, np.ndarray]) -> None:
        """Tell the figures of the last epoch."""
        step = _epoch(history)
        if self.writer is None:
            try:
                from tensorboardX import SummaryWriter
            except ImportError:
                raise ImportError("TensorBoard needs tensorboardX: pip install 'retrograde[tensorboard]'") from None
            self.writer = SummaryWriter(str(self.folder), purge_step=step)
        writer: Any = self.writer
        for name, value in _figures(history):
            writer.add_scalar(name, value, step)
        writer.flush()

    def close(self) -> None:
        """The end of the run."""
        if self.writer is not None:
            self.writer.close()
            self.writer = None


class MLflow:
    """Among the callbacks of `fit`: a run of MLflow with the settings as parameters and the figures of each epoch as metrics.

    `tags` and the rest are those of `mlflow.start_run`. The same object among the callbacks of a run that goes on continues its
    run of MLflow; run_id names one from another process.
    """

    def __init__(
        self, experiment: str | None = None, *, run_name: str | None = None, run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ):  # fmt: skip
        self.experiment, self.run_name, self.run_id, self.tags = experiment, run_name, run_id, tags
        self.open = False

    def __call__(self, history: dict[str, np.ndarray], run: Any) -> None:
        """Tell the figures of the last epoch; before the first of them, the settings."""
        try:
            import mlflow
        except ImportError:
            raise ImportError("MLflow needs mlflow: pip install 'retrograde[mlflow]'") from None
        if not self.open:
            self._start(mlflow, run)
        mlflow.log_metrics(dict(_figures(history)), step=_epoch(history))

    def _start(self, mlflow: Any, run: Any) -> None:
        again = self.run_id is not None
        if self.experiment is not None and not again:
            mlflow.set_experiment(self.experiment)
        active = mlflow.start_run(run_id=self.run_id, run_name=self.run_name, tags=dict(self.tags or {}))
        self.open, self.run_id = True, active.info.run_id
        if not again:
            settings = {"seed": run.seed, "batch_size": run.batch_size, "points": run.points, "optimizer": repr(run.optimizer)}
            mlflow.log_params(settings)

    def close(self) -> None:
        """The end of the run."""
        if self.open:
            import mlflow

            mlflow.end_run()
            self.open = False


def _epoch(history: dict[str, np.ndarray]) -> int:
    return history["loss"].shape[-1]


def _figures(history: dict[str, np.ndarray]) -> Iterator[tuple[str, float]]:
    """The figures of the last epoch; of many starts, those that are still going on have one each."""
    for name, values in history.items():
        if values.ndim == 1:
            yield name, float(values[-1])
        else:
            yield from ((f"start{i}/{name}", float(v)) for i, v in enumerate(values[:, -1]) if not np.isnan(v))
