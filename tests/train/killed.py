"""A run in a folder, for tests to kill: `python killed.py FOLDER STARTS [streamed]`."""

import sys

import numpy as np

import retrograde as rg
from retrograde import nn, optim

RNG = np.random.default_rng(5)
X = RNG.normal(size=(61, 4)).astype(np.float32)
LABELS = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
STRETCHED = RNG.uniform(0.9, 1.1, (31 * 61, 1)).astype(np.float32)


def wrong(target, labels):
    """A metric that wants numbers, so that it is computed between epochs."""
    return float(np.mean(target != labels))


def train(folder, starts, data=(X, LABELS), **changes):
    """90 epochs, each of which ends in a checkpoint; one metric is computed in the program and one outside."""
    settings = {
        "loss": "cross_entropy", "batch_size": 8, "validation": 0.3, "epochs": 90, "seed": 3, "starts": starts,
        "optimizer": optim.Adam(0.003), "metrics": ["f1_macro", wrong], "checkpoint": {"epochs": 1},
        "early_stopping": {"patience": 80, "monitor": "val_wrong", "mode": "min"}, "folder": folder, "resume": True,
    }  # fmt: skip
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
    return rg.fit(net, data, **(settings | changes))


def train_streamed(folder, starts, **changes):
    """4 epochs of 30 chunks, each of which ends in a checkpoint."""
    x, labels = np.tile(X, (31, 1)) * STRETCHED, np.tile(LABELS, 31)

    def batches():
        for at in range(0, len(x), 50):
            yield x[at : at + 50], labels[at : at + 50]

    settings = {"data": batches, "chunk_rows": 64, "checkpoint": {"seconds": 0}, "epochs": 4, "validation": (X, LABELS)}
    return train(folder, starts, **(settings | changes))


if __name__ == "__main__":
    (train_streamed if "streamed" in sys.argv else train)(sys.argv[1], int(sys.argv[2]))
