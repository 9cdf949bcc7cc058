"""A run in a folder, for test_folder to kill: `python killed.py FOLDER STARTS`."""

import sys

import numpy as np

import retrograde as rg
from retrograde import nn, optim

RNG = np.random.default_rng(5)
X = RNG.normal(size=(61, 4)).astype(np.float32)
LABELS = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)


def wrong(target, labels):
    """A metric that wants numbers, so that it is computed between epochs."""
    return float(np.mean(target != labels))


def train(folder, starts, **changes):
    """90 epochs, each of which ends in a checkpoint; one metric is computed in the program and one outside."""
    settings = {
        "loss": "cross_entropy", "batch_size": 8, "validation": 0.3, "epochs": 90, "seed": 3, "starts": starts,
        "optimizer": optim.Adam(0.003), "metrics": ["f1_macro", wrong], "checkpoint": {"epochs": 1},
        "early_stopping": {"patience": 80, "monitor": "val_wrong", "mode": "min"}, "folder": folder, "resume": True,
    }  # fmt: skip
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
    return rg.fit(net, (X, LABELS), **(settings | changes))


if __name__ == "__main__":
    train(sys.argv[1], int(sys.argv[2]))
