"""A GRU that forecasts a chaotic series.

The series of M. Mackey and L. Glass (1977) models the density of white blood cells:

    dx/dt = 0.2 x(t - 17) / (1 + x(t - 17)^10) - 0.1 x(t)

It looks regular and never repeats. From the last 48 values a recurrent network says the value 24 steps ahead. The first
2,000 points of the series train it, the next 1,000 test it: a series is split by time, never at random, for neighbors are
alike.

Two baselines: persistence (the value stays what it is) and the best linear forecast from the same 48 values.

    python examples/time_series.py [--plot]
"""

import sys

import numpy as np

import retrograde as rg
from retrograde import nn, optim

WINDOW, AHEAD, TRAIN, TEST = 48, 24, 2000, 1000


def mackey_glass(length, delay=17, substeps=10, skip=500):
    """One value a unit of time, after `skip` that only settle: Euler's method in small steps."""
    x = [1.2] * (delay * substeps + 1)
    for _ in range((length + skip) * substeps):
        past = x[-1 - delay * substeps]
        x.append(x[-1] + (0.2 * past / (1 + past**10) - 0.1 * x[-1]) / substeps)
    return np.array(x[-length * substeps :: substeps])


def windows(series):
    """Inputs (points, WINDOW) and what comes AHEAD steps after the last value of each."""
    inputs = np.lib.stride_tricks.sliding_window_view(series, WINDOW)[:-AHEAD]
    return inputs, series[WINDOW + AHEAD - 1 :, np.newaxis]


def linear_forecast(X, y, X_test):
    with_ones = [np.hstack([x, np.ones((len(x), 1))]) for x in (X, X_test)]
    return with_ones[1] @ np.linalg.lstsq(with_ones[0], y)[0]


def main():
    series = mackey_glass(TRAIN + TEST)
    mean, deviation = series[:TRAIN].mean(), series[:TRAIN].std()
    series = (series - mean) / deviation
    (X, y), (X_test, y_test) = windows(series[:TRAIN]), windows(series[TRAIN:])

    net = nn.Sequential(nn.GRU(1, 24, batch_first=True), nn.TakeOutput(-1), nn.Linear(24, 1))
    epochs, batch = 30, 32
    schedule = optim.schedules.CosineAnnealingLR(1e-2, epochs * -(-len(X) // batch))
    run = rg.fit(
        net, (X[:, :, np.newaxis], y), loss="mse", optimizer=optim.Clipped(optim.Scheduled(optim.Adam(), schedule), max_norm=1.0),
        batch_size=batch, epochs=epochs, seed=0,
    )  # fmt: skip
    forecasts = {
        "persistence": X_test[:, -1:],
        "linear forecast": linear_forecast(X, y, X_test),
        "GRU": run.model(X_test[:, :, np.newaxis]),
    }
    print(f"{AHEAD} steps ahead, on the {len(y_test)} windows after those of training")
    for name, forecast in forecasts.items():
        error = np.sqrt(np.mean((forecast - y_test) ** 2))
        print(f"{name:16}  error {error:.3f} of the series' standard deviation")
    if "--plot" in sys.argv:
        plot(y_test, forecasts)


def plot(y_test, forecasts):
    import matplotlib.pyplot as plt

    plt.plot(y_test[:400], color="0.7", linewidth=4, label="series")
    for name, forecast in forecasts.items():
        plt.plot(forecast[:400], label=name, linewidth=1)
    plt.legend()
    plt.show()


if __name__ == "__main__":
    main()
