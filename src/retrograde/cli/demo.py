"""`retrograde demo`: scikit-learn's 1,797 handwritten digits, and one backward pass looked into."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrograde import explore, fit, nn, optim
from retrograde.cli.answer import Answer
from retrograde.cli.places import check_out
from retrograde.errors import ModelError
from retrograde.nn.losses import cross_entropy

GOAL = 0.97
SHADES = " .:-=+*#%@"


def digits(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images, their labels, test images and labels: a stratified quarter is for the test; pixels from 0 to 1."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    pixels = (images / 16).astype(np.float32)
    x, x_test, y, y_test = train_test_split(pixels, labels, test_size=0.25, stratify=labels, random_state=seed)
    return x, y, x_test, y_test


def run_demo(*, epochs: int, seed: int, image: int, out: str | None, quiet: bool) -> Answer:
    """Train, test, report; the exit code is 1 where the test accuracy stays below 0.97."""
    from rich.console import Console

    if epochs < 1:
        raise ModelError(f"--epochs must be at least 1; it is {epochs}")
    if not 0 <= seed < 2**32:
        raise ModelError(f"--seed must be from 0 to 2**32 - 1; it is {seed}")
    if out is not None:
        check_out(out)
    x, y, x_test, y_test = digits(seed)
    if not 0 <= image < len(x_test):
        raise ModelError(f"--image must be from 0 to {len(x_test) - 1}, a test image; it is {image}")
    console = Console(highlight=False, soft_wrap=True)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    console.print(f"1,797 handwritten digits of 8 × 8 pixels: {len(x):,} to train on, {len(x_test):,} to test on")
    console.print("network 64-64-32-10 with ReLU, softmax cross-entropy, AdamW\n")
    optimizer = optim.AdamW(3e-3, weight_decay=0.1)
    run = fit(net, (x, y), loss="cross_entropy", optimizer=optimizer, batch_size=32, epochs=epochs, seed=seed, progress=not quiet)
    accuracy = float((np.argmax(run.model(x_test), axis=1) == y_test).mean())
    console.print(f"\n{run.summary()}\n", markup=False)
    console.print(f"test accuracy {accuracy:.4f}: {round(accuracy * len(x_test))} of {len(x_test)} unseen digits read right")
    console.print(f"{run.updates:,} updates in {run.seconds:.3f} s: {run.updates / max(run.seconds, 1e-9):,.0f} updates/s\n")
    _show_chain(console, run.model, x_test[image], int(y_test[image]), image)
    if out is not None:
        run.model.save(out)
        console.print(f"model saved to {out}", markup=False)
    short = accuracy < GOAL and not run.interrupted
    if short:
        console.print(f"the test accuracy is below {GOAL}; train longer (--epochs)")
    data = {
        "test_accuracy": accuracy, "test_images": len(x_test), "updates": run.updates, "seconds": run.seconds,
        "updates_per_second": run.updates_per_second, "compile_seconds": run.compile_seconds, "out": out,
    }  # fmt: skip
    return Answer(data, lambda: None, code=int(short))


def _show_chain(console: Any, model: nn.Sequential, pixels: np.ndarray, label: int, number: int) -> None:
    record = explore(lambda net, x, y: cross_entropy(net(x), y))(model, pixels[None], np.array([label]))
    guess = int(np.argmax(model(pixels[None])[0]))
    for row in pixels.reshape(8, 8):
        console.print("  " + "".join(2 * SHADES[round(float(v) * (len(SHADES) - 1))] for v in row), markup=False)
    console.print(f"  test image {number}: a {label}, read as {guess}\n")
    console.print(record.table(f"The chain of the backward pass for test image {number}, loss {record.loss:.4g}"))
