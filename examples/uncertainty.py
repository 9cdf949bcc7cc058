"""How sure is a network? Mean and variance at each point, and what an ensemble adds.

There are two kinds of not knowing. The noise of the data, which grows from left to right here, is learned by a network with
two outputs, the mean and the variance at each point, trained by the Gaussian negative log-likelihood (D. Nix and A. Weigend,
1994). What the data do not tell shows in the disagreement of networks that were trained from other starting points (B.
Lakshminarayanan, A. Pritzel and C. Blundell, 2017): there is no point in 1 < x < 2, nor beyond 3. Disagreement is a warning,
no bound: far outside it is too small.

The first table says how many of 2,000 fresh points fall into the intervals of 50 %, 80 % and 95 %: a calibrated model keeps
what the names promise. The baseline is one normal distribution for all points.

    python examples/uncertainty.py [--plot]
"""

import sys
from statistics import NormalDist

import numpy as np

import retrograde as rg
from retrograde import nn, optim


def noise(x):
    return 0.05 + 0.05 * (x + 3)


def draw(rng, n):
    """Points x of [-3, 1] and [2, 3], and y with a noise that grows with x."""
    x = rng.uniform(-3, 2, (n, 1))
    x = np.where(x > 1, x + 1, x)
    return x, np.sin(2 * x) + noise(x) * rng.normal(size=x.shape)


def mean_and_variance():
    """Both outputs from one hidden layer; a softplus keeps the variance positive."""
    hidden = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
    outputs = nn.Parallel(nn.Linear(32, 1), nn.Sequential(nn.Linear(32, 1), nn.Softplus()), combine="tuple")
    return nn.Sequential(hidden, outputs)


def mixture(members, x):
    """Mean, variance and disagreement of the members' equal mixture: Var = E[Var] + Var[E]."""
    means, variances = (np.stack(values) for values in zip(*(member(x) for member in members)))
    disagreement = means.var(axis=0)
    return means.mean(axis=0), variances.mean(axis=0) + disagreement, disagreement


def report(name, y, mean, variance):
    gap = np.abs(y - mean) / np.sqrt(variance)
    inside = [np.mean(gap < NormalDist().inv_cdf(0.5 + share / 2)) for share in (0.5, 0.8, 0.95)]
    likelihood = nn.GaussianNLLLoss(full=True)(mean, y, variance)
    print(f"{name:12} {likelihood:8.3f}   {'   '.join(f'{100 * share:4.1f} %' for share in inside)}")


def main():
    rng = np.random.default_rng(0)
    (x, y), (x_test, y_test) = draw(rng, 400), draw(rng, 2000)
    run = rg.fit(
        mean_and_variance(), (x, y), loss=nn.GaussianNLLLoss(), optimizer=optim.AdamW(3e-3, weight_decay=1e-3),
        epochs=300, batch_size=32, validation=0.2, early_stopping=100, starts=10, seed=0,
    )  # fmt: skip
    members = [start.model for start in run.starts]

    print("              -log p       inside the interval of")
    print("           a point     50 %     80 %     95 %")
    report("one normal", y_test, np.full_like(y_test, y.mean()), np.full_like(y_test, y.var()))
    report("one network", y_test, *mixture(members[:1], x_test)[:2])
    report("ensemble", y_test, *mixture(members, x_test)[:2])

    print("\n            standard deviation of")
    print("    x     noise   noise, found   the ten means     error of their mean")
    for at in (-2.5, -1.5, 0.5, 1.5, 2.5, 4.0):
        mean, variance, disagreement = (values.item() for values in mixture(members, np.full((1, 1), at)))
        found, error = np.sqrt(variance - disagreement), abs(mean - np.sin(2 * at))
        print(f"{at:5.1f}     {noise(at):5.2f}   {found:12.2f}   {np.sqrt(disagreement):13.2f}   {error:21.2f}")
    if "--plot" in sys.argv:
        plot(x, y, members)


def plot(x, y, members):
    import matplotlib.pyplot as plt

    at = np.linspace(-4, 5, 300)[:, np.newaxis]
    mean, variance, disagreement = (values[:, 0] for values in mixture(members, at))
    for spread, label in ((variance, "noise and disagreement"), (disagreement, "disagreement")):
        plt.fill_between(at[:, 0], mean - 2 * np.sqrt(spread), mean + 2 * np.sqrt(spread), alpha=0.3, label=label)
    plt.plot(at, mean, label="mean")
    plt.plot(x, y, "k.", markersize=2)
    plt.legend()
    plt.show()


if __name__ == "__main__":
    main()
