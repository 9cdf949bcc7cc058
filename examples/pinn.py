"""A physics-informed network: Burgers' equation, solved by a network that knows no data but the equation.

    u_t + u u_x = nu u_xx    for -1 < x < 1, 0 < t < 1,    u(0, x) = -sin(pi x),    u(t, -1) = u(t, 1) = 0

The solution is a network u(t, x) of four small layers. Its derivatives in t and x are taken by `rg.grad`, and the loss is
the mean square of what the equation leaves over at 1,000 points (M. Raissi, P. Perdikaris and G. Karniadakis, 2019). So the
loss contains second derivatives of the network, and its gradient third ones. Initial and boundary values are not asked for
but built in: the network's output is multiplied by a function that is zero there. L-BFGS, in float64, does the minimization.

The error is measured against the exact solution (E. Hopf, 1950; J. Cole, 1951), an integral. The baseline: nothing moves.

    python examples/pinn.py [--plot]
"""

import sys

import numpy as np

import retrograde as rg
from retrograde import nn, optim

NU = 0.1 / np.pi


def exact(t, x, points=100):
    """By the transformation of Cole and Hopf; Gauss and Hermite's quadrature of the integral over the heat kernel."""
    nodes, weights = np.polynomial.hermite.hermgauss(points)
    y = x[:, np.newaxis] - np.sqrt(4 * NU * t)[:, np.newaxis] * nodes
    density = weights * np.exp(-np.cos(np.pi * y) / (2 * np.pi * NU))
    return -np.sum(np.sin(np.pi * y) * density, axis=1) / np.sum(density, axis=1)


def u(net, t, x):
    """The solution at one point; initial and boundary values hold whatever the network says."""
    return -np.sin(np.pi * x) + t * (1 - x**2) * net(np.stack([t, x]))[0]


def residual(net, t, x):
    """What is left of the equation at one point."""
    u_x = rg.grad(u, 2)
    u_xx = rg.grad(u_x, 2)
    return rg.grad(u, 1)(net, t, x) + u(net, t, x) * u_x(net, t, x) - NU * u_xx(net, t, x)


def loss(net, t, x):
    return np.mean(rg.vmap(residual, in_axes=(None, 0, 0))(net, t, x) ** 2)


def main():
    rng = np.random.default_rng(0)
    t, x = rng.uniform(0, 1, 1000), rng.uniform(-1, 1, 1000)
    hidden = [layer for _ in range(3) for layer in (nn.Linear(16, 16), nn.Tanh())]
    net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), *hidden, nn.Linear(16, 1)).init(0, dtype=np.float64)

    found = optim.minimize(loss, net, (t, x), optimizer=optim.LBFGS(max_iter=1000))
    print(f"mean squared residual {loss(net, t, x):.3g} -> {found.fun:.3g} in {found.nit} iterations ({found.message})\n")

    t, x = (grid.ravel() for grid in np.meshgrid(np.linspace(0.01, 1, 50), np.linspace(-1, 1, 101), indexing="ij"))
    truth = exact(t, x)
    solution = rg.vmap(u, in_axes=(None, 0, 0))(found.x, t, x)
    print("relative error against the exact solution, in the square mean over 0 < t < 1")
    for name, guess in {"u(0, x) for all t": -np.sin(np.pi * x), "network": solution}.items():
        print(f"{name:18}  {np.sqrt(np.mean((guess - truth) ** 2) / np.mean(truth**2)):.2e}")
    if "--plot" in sys.argv:
        plot(t, x, solution, truth)


def plot(t, x, solution, truth):
    import matplotlib.pyplot as plt

    for at in np.unique(t)[[0, 12, 24, 49]]:
        plt.plot(x[t == at], truth[t == at], color="0.7", linewidth=4)
        plt.plot(x[t == at], solution[t == at], label=f"t = {at:.2f}")
    plt.legend()
    plt.show()


if __name__ == "__main__":
    main()
