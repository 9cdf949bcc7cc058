"""Sixty-four starts at once: into which minima does training fall, and what is the average of all worth?

Forty noisy points of a curve, a network of six hidden units, a small penalty of its weights: the loss has many minima. Some
are one function with its units in another order; others are worse, say with a unit wasted. All 64 networks are trained by
L-BFGS as one native program that spreads over the cores. Losses tell the basins apart: starts that end at one loss have
found one function.

Then the average of all predictions is compared with the network of the lowest loss and with a typical one, on the curve
itself, without noise. The baseline is a straight line.

    python examples/ensemble.py [--plot]
"""

import sys

import numpy as np

import retrograde as rg
from retrograde import nn, optim

STARTS = 64


def curve(x):
    return np.sin(3 * x) + 0.5 * x


def main():
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (40, 1))
    y = curve(x) + 0.2 * rng.normal(size=x.shape)
    net = nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 1))
    run = rg.fit(
        net, (x, y), l2=1e-4, optimizer=optim.LBFGS(), batch_size=None, epochs=100, starts=STARTS, seed=0, dtype=np.float64
    )

    print(f"{STARTS} starts of {run.model.num_parameters} parameters in {run.seconds:.2f} s")
    print(f"\nlosses of training: {run.basins(rtol=1e-3)}")

    grid = np.linspace(-2, 2, 200)[:, np.newaxis]
    each, truth = run.ensemble().members(grid), curve(grid)  # (starts, points, 1), the lowest loss first
    errors = np.sqrt(np.mean((each - truth) ** 2, axis=(1, 2)))
    line = np.polyval(np.polyfit(x[:, 0], y[:, 0], 1), grid)
    average = np.sqrt(np.mean((each.mean(axis=0) - truth) ** 2))
    print("\nerror against the curve without noise")
    print(f"straight line         {np.sqrt(np.mean((line - truth) ** 2)):.3f}")
    print(f"median of the starts  {np.median(errors):.3f}")
    print(f"lowest training loss  {errors[0]:.3f}")
    print(f"average of all        {average:.3f}")
    if "--plot" in sys.argv:
        plot(x, y, grid, each)


def plot(x, y, grid, each):
    import matplotlib.pyplot as plt

    plt.plot(grid, each[:, :, 0].T, color="0.8", linewidth=0.5)
    plt.plot(grid, each.mean(axis=0), label="average")
    plt.plot(grid, curve(grid), "k--", label="curve")
    plt.plot(x, y, "k.")
    plt.legend()
    plt.show()


if __name__ == "__main__":
    main()
