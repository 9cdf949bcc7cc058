"""`retrograde bench`: how fast a network of dense layers trains and predicts on this machine, beside other libraries."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import retrograde as rg
from retrograde import nn, optim
from retrograde.cli.answer import Answer, print_pairs, print_table
from retrograde.cli.network import build, parse_hidden, widths
from retrograde.cli.peers import PEERS, RATE, Work, calls_per_second, installed
from retrograde.cli.training import KIND
from retrograde.errors import ModelError
from retrograde.io.model_file import load

SIDE = 1024  # of the matrices whose product tells what the machine can do
LEAST = {"batch_size": 1, "rows": 1, "inputs": 1, "outputs": 1}
SPEEDS = {
    "updates_per_second": "updates/s", "examples_per_second": "examples/s", "predictions_per_second": "predictions/s",
    "single_predictions_per_second": "one by one/s",
}  # fmt: skip


def run_bench(model: str | None, options: dict[str, Any]) -> Answer:
    """Measure training and predictions, ours and those of the peers that are asked for."""
    for name, least in LEAST.items():
        if options[name] < least:
            raise ModelError(f"--{name.replace('_', '-')} must be at least {least}; it is {options[name]}")
    if not 0 < options["seconds"] <= 60:
        raise ModelError(f"--seconds is how long a measurement takes, above 0 and up to 60; it is {options['seconds']:g}")
    peers = _peers(options["against"])
    net, classes = _network(model, options)
    work = _work(net, classes, options)
    ours = _measure(net, work)
    data: dict[str, Any] = {
        "network": widths(net), "task": "classification" if classes else "regression", "batch_size": work.batch,
        "rows": len(work.x), "retrograde": ours, "peers": {},
    }  # fmt: skip
    for name in peers:
        found = PEERS[name](work)
        data["peers"][name] = found | {"ratios": {key: ours[key] / found[key] for key in found}}
    return Answer(data, lambda: _tell(data))


def _network(model: str | None, options: dict[str, Any]) -> tuple[Any, bool]:
    """The network, as of a file or of the options, and whether it tells classes."""
    if model is None:
        outputs = options["outputs"]
        return build(options["inputs"], parse_hidden(options["hidden"]), outputs, "relu", 0.0).init(0), outputs > 1
    net, extra = load(model)
    if not isinstance(net, nn.Sequential) or not any(isinstance(layer, nn.Linear) for layer in net.layers):
        raise ModelError(f"{model}: bench measures dense networks, nn.Sequential of nn.Linear; this is a {type(net).__name__}")
    outputs = [layer for layer in net.layers if isinstance(layer, nn.Linear)][-1].out_features
    return net, extra["target"]["task"] == "classification" if extra.get("kind") == KIND else outputs > 1


def _work(net: Any, classes: bool, options: dict[str, Any]) -> Work:
    """Random points for the network; how fast it is does not depend on what they say."""
    sizes, rng = [int(n) for n in widths(net).split("-")], np.random.default_rng(0)
    x = rng.normal(size=(options["rows"], sizes[0])).astype(np.float32)
    y = rng.integers(sizes[-1], size=len(x)) if classes else rng.normal(size=(len(x), sizes[-1])).astype(np.float32)
    return Work(sizes, classes, x, y, min(options["batch_size"], len(x)), options["seconds"])


def _measure(net: Any, work: Work) -> dict[str, float]:
    """Ours: whole runs, for a run is one program."""
    how: dict[str, Any] = {"loss": "cross_entropy" if work.classes else "mse", "optimizer": optim.Adam(RATE)}
    with _no_cache():
        first = rg.fit(net, (work.x, work.y), batch_size=work.batch, epochs=1, **how)
    trial = rg.fit(net, (work.x, work.y), batch_size=work.batch, epochs=3, **how)
    epochs = max(1, int(work.seconds * trial.epochs / trial.seconds))
    run = rg.fit(net, (work.x, work.y), batch_size=work.batch, epochs=epochs, **how)
    gflops, product = run.flops_per_update * run.updates_per_second / 1e9, _product_gflops()
    return {
        "updates_per_second": run.updates_per_second, "examples_per_second": run.epochs * run.points / run.seconds,
        **work.predictions(rg.jit(run.model)), "compile_seconds": first.compile_seconds,
        "gflops": gflops, "product_gflops": product, "share_of_product": gflops / product,
    }  # fmt: skip


def _product_gflops() -> float:
    """What this machine can do, as far as a product of large matrices tells: NumPy's or ours, whichever is faster."""
    a = np.ones((SIDE, SIDE), np.float32)
    product = rg.jit(np.matmul)
    return max(2 * SIDE**3 * calls_per_second(f, 0.2) / 1e9 for f in (lambda: a @ a, lambda: product(a, a)))


@contextmanager
def _no_cache() -> Iterator[None]:
    """Compile anew, whatever lies on disk."""
    before = os.environ.get("RETROGRADE_CACHE")
    os.environ["RETROGRADE_CACHE"] = "0"
    try:
        yield
    finally:
        del os.environ["RETROGRADE_CACHE"]
        if before is not None:
            os.environ["RETROGRADE_CACHE"] = before


def _peers(against: str) -> list[str]:
    if against == "installed":
        return installed()
    names = [name.strip() for name in against.split(",") if name.strip() not in ("", "none")]
    for name in names:
        if name not in installed():
            there = ", ".join(installed())
            raise ModelError(f"--against: {name!r} is not installed, or not known; there are {there}, installed and none")
    return names


def _tell(data: dict[str, Any]) -> None:
    ours = data["retrograde"]
    print_pairs([
        ("network", f"{data['network']}, {data['task']}, {data['rows']:,} rows in batches of {data['batch_size']:,}"),
        ("compiling", f"{ours['compile_seconds']:.2f} s, once: it is kept on disk"),
        ("work", f"{ours['gflops']:.3g} GFLOP/s in training, {ours['share_of_product']:.0%} of what a product of "
                 f"{SIDE} × {SIDE} matrices reaches here ({ours['product_gflops']:.3g})"),
    ])  # fmt: skip
    rows = [["retrograde", *(f"{ours[key]:,.0f}" for key in SPEEDS)]]
    for name, peer in data["peers"].items():
        rows.append([name, *(f"{peer[key]:,.0f}" for key in SPEEDS)])
        rows.append(["  retrograde is", *(f"{peer['ratios'][key]:.3g} ×" for key in SPEEDS)])
    print()
    print_table(["", *SPEEDS.values()], rows)
