"""Derivatives of whole programs: gradient, Hessian times a vector, Jacobian, each example's gradient; JAX and PyTorch beside it.

    python benchmarks/transforms.py [--rounds 7] [--quick] [--peers retrograde,jax]

float64. A mixture of Gaussians (500 points, 8 of them, in 4 dimensions), bundle adjustment (20 cameras, 60 points, 400 marks), an
oscillator fitted through 200 steps of Runge and Kutta, written once for all libraries but for the loop. retrograde and JAX are
compiled, PyTorch runs as torch.func does; JAX and retrograde take the loop as `scan`. "× the value" is the time over that of
the program itself in the same library: a gradient should cost no more than some four times as much. Every peer's results are
checked against the others'.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from harness import PAUSE, Missing, Row, clock, quartiles, run_script

UNIT = "µs a call"
NAMES = {"retrograde": "retrograde", "jax": "JAX (jit)", "torch": "PyTorch (torch.func)"}


def logsumexp(xp: Any, x: Any, axis: int) -> Any:
    most = xp.amax(x, axis)
    return most + xp.log(xp.sum(xp.exp(x - xp.expand_dims(most, axis)), axis))


def densities(xp: Any, params: Any, x: Any) -> Any:
    """The log of a mixture's density at each point."""
    logits, means, log_scales = params
    z = (xp.expand_dims(x, -2) - means) * xp.exp(-log_scales)
    log_density = -0.5 * xp.sum(z * z, -1) - xp.sum(log_scales, -1)
    return logsumexp(xp, log_density + logits - logsumexp(xp, logits, 0), -1)


def cross(xp: Any, a: Any, b: Any) -> Any:
    (x, y, z), (u, v, w) = ([a[..., i] for i in range(3)] for a in (a, b))
    return xp.stack([y * w - z * v, z * u - x * w, x * v - y * u], -1)


def seen(xp: Any, camera: Any, point: Any) -> Any:
    """Where cameras see points: turned by Rodrigues' formula, moved, projected, distorted."""
    v = camera[..., :3]
    angle = xp.sqrt(xp.sum(v * v, -1))[..., None]
    turned = cross(xp, v, point)
    p = point + xp.sin(angle) / angle * turned + (1 - xp.cos(angle)) / (angle * angle) * cross(xp, v, turned)
    p = p + camera[..., 3:6]
    flat = -p[..., :2] / p[..., 2:]
    r2 = xp.sum(flat * flat, -1)[..., None]
    return camera[..., 6:7] * (1 + r2 * (camera[..., 7:8] + r2 * camera[..., 8:9])) * flat


def states(xp: Any, params: Any, steps: int) -> Any:
    """An oscillator y'' = -k y - d y' - c y**3 from (1, 0), by Kutta's classical method."""

    def field(y: Any) -> Any:
        return xp.stack([y[1], -params[0] * y[0] - params[1] * y[1] - params[2] * y[0] * y[0] * y[0]])

    h = 0.05

    def step(y: Any) -> Any:
        a = field(y)
        b = field(y + h / 2 * a)
        c = field(y + h / 2 * b)
        return y + h / 6 * (a + 2 * b + 2 * c + field(y + h * c))

    return xp.iterate(step, xp.asarray(np.array([1.0, 0.0])), steps)


@dataclass
class Program:
    """`value` is the scalar that is minimized, by its first argument; `residual` what is squared, for the Jacobian.

    `each` is an example's part of the value, by the first argument, with its arguments and the axes they are mapped over.
    """

    case: str
    value: Callable
    residual: Callable
    args: tuple
    each: tuple[Callable, tuple, tuple] | None = None


def programs() -> list[Program]:
    """The three, on arguments that do not change."""
    rng = np.random.default_rng(0)
    params = rng.normal(size=8), rng.normal(size=(8, 4)), 0.3 * rng.normal(size=(8, 4))
    args = params, rng.normal(size=(500, 4))
    mixture = Program(
        "mixture of Gaussians", lambda xp, p, x: -xp.mean(densities(xp, p, x)), densities, args, (densities, args, (None, 0))
    )
    cameras = np.concatenate([0.2 * rng.normal(size=(20, 6)), np.tile([2.0, 0.01, -0.001], (20, 1))], 1)
    cameras[:, 5] -= 5
    points, which = rng.normal(size=(60, 3)), (rng.integers(20, size=400), rng.integers(60, size=400))
    marks = rng.normal(size=(400, 2))

    def error(xp: Any, cameras: Any, points: Any, c: Any, p: Any, marks: Any) -> Any:
        return seen(xp, cameras[c], points[p]) - marks

    bundle = Program(
        "bundle adjustment", lambda xp, *args: xp.mean(error(xp, *args) ** 2), error, (cameras, points, *which, marks),
        (lambda xp, camera, point, mark: xp.mean((seen(xp, camera, point) - mark) ** 2),
         (cameras[which[0]], points[which[1]], marks), (0, 0, 0)),
    )  # fmt: skip
    data = rng.normal(size=201)

    def distance(xp: Any, p: Any, data: Any) -> Any:
        return states(xp, p, 200)[:, 0] - data

    fit = Program(
        "differential equation", lambda xp, p, data: xp.mean(distance(xp, p, data) ** 2), distance,
        (np.array([4.0, 0.5, 0.3]), data),
    )  # fmt: skip
    return [mixture, bundle, fit]


def retrograde() -> Any:
    """NumPy, traced."""
    import retrograde as rg

    def iterate(step: Callable, y: Any, steps: int) -> Any:
        def body(y: Any, _: Any) -> Any:
            return (step(y), y)

        last, before = rg.scan(body, y, length=steps)
        return np.concatenate([before, last[None]])

    xp = SimpleNamespace(**{name: getattr(np, name) for name in _USED}, iterate=iterate)
    return SimpleNamespace(
        xp=xp, grad=rg.grad, jvp=rg.jvp, rev=rg.jacobian, fwd=rg.jacfwd, vmap=lambda f, axes: rg.vmap(f, in_axes=axes),
        jit=rg.jit, array=lambda x: x, wait=lambda x: x, leaves=rg.tree.tree_leaves,
    )  # fmt: skip


def jax_() -> Any:
    """JAX in float64."""
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    def iterate(step: Callable, y: Any, steps: int) -> Any:
        last, before = jax.lax.scan(lambda y, _: (step(y), y), y, None, steps)
        return jnp.concatenate([before, last[None]])

    xp = SimpleNamespace(**{name: getattr(jnp, name) for name in _USED}, iterate=iterate)
    return SimpleNamespace(
        xp=xp, grad=jax.grad, jvp=jax.jvp, rev=jax.jacrev, fwd=jax.jacfwd, vmap=jax.vmap, jit=jax.jit, array=jnp.asarray,
        wait=jax.block_until_ready, leaves=jax.tree_util.tree_leaves,
    )  # fmt: skip


def torch_() -> Any:
    """PyTorch's functional transforms, eager."""
    import torch
    from torch.utils._pytree import tree_leaves

    def iterate(step: Callable, y: Any, steps: int) -> Any:
        found = [y]
        for _ in range(steps):
            found.append(step(found[-1]))
        return torch.stack(found)

    other = {"expand_dims": torch.unsqueeze, "asarray": torch.from_numpy}
    xp = SimpleNamespace(**{name: other.get(name) or getattr(torch, name) for name in _USED}, iterate=iterate)
    f = torch.func
    return SimpleNamespace(
        xp=xp, grad=f.grad, jvp=f.jvp, rev=f.jacrev, fwd=f.jacfwd, vmap=f.vmap, jit=lambda f: f, array=torch.from_numpy,
        wait=lambda x: x, leaves=tree_leaves,
    )  # fmt: skip


_USED = ("amax", "asarray", "cos", "exp", "expand_dims", "log", "mean", "sin", "sqrt", "stack", "sum")
_MAKERS = {"retrograde": retrograde, "jax": jax_, "torch": torch_}


def mapped(tree: Any, f: Callable) -> Any:
    return tuple(mapped(leaf, f) for leaf in tree) if isinstance(tree, tuple) else f(tree)


def calls(lib: Any, program: Program) -> dict[str, Callable[[], Any]]:
    """What is timed, by its name."""
    xp, args = lib.xp, mapped(program.args, lib.array)
    rng = np.random.default_rng(1)
    along = mapped(program.args[0], lambda x: lib.array(rng.normal(size=x.shape)))

    def value(*args: Any) -> Any:
        return program.value(xp, *args)

    def residual(*args: Any) -> Any:
        return program.residual(xp, *args)

    def product(along: Any, first: Any, *rest: Any) -> Any:
        return lib.jvp(lambda p: lib.grad(value)(p, *rest), (first,), (along,))[1]

    few = sum(x.size for x in lib.leaves(program.args[0])) < 201
    made = {
        "value": (value, args), "gradient": (lib.grad(value), args), "Hessian times a vector": (product, (along, *args)),
        "Jacobian": ((lib.fwd if few else lib.rev)(residual), args),
    }  # fmt: skip
    if program.each is not None:
        each, examples, axes = program.each
        one = lib.grad(lambda *args: each(xp, *args))
        made["each example's gradient"] = lib.vmap(one, axes), mapped(examples, lib.array)

    def call(f: Callable, args: tuple) -> Callable[[], Any]:
        f = lib.jit(f)
        return lambda: lib.wait(f(*args))

    return {name: call(f, args) for name, (f, args) in made.items()}


def check(case: str, found: dict[str, list[np.ndarray]]) -> None:
    """Raise where peers disagree."""
    first, *others = found
    for other in others:
        for a, b in zip(found[first], found[other], strict=True):
            if not np.allclose(a, b, rtol=1e-6, atol=1e-9):
                raise SystemExit(f"{case}: {other} disagrees with {first} by {np.abs(a - b).max()}")


def measure(rounds: int = 7, *, quick: bool = False, peers: Sequence[str] | None = None) -> list[Row]:
    """The rows of all tables."""
    libraries = {}
    for name in peers or NAMES:
        try:
            libraries[name] = _MAKERS[name]()
        except (Missing, ImportError) as error:
            print(f"{name}: skipped, {error}", file=sys.stderr)
    rows: list[Row] = []
    for program in programs():
        made = {name: calls(lib, program) for name, lib in libraries.items()}
        values: dict[str, float] = {}
        for what in next(iter(made.values()), {}):
            case = f"{program.case}, {what}"
            results = {name: [np.asarray(x) for x in libraries[name].leaves(made[name][what]())] for name in made}
            check(case, results)
            times: dict[str, list[float]] = {name: [] for name in made}
            for _ in range(rounds):
                for name in made:
                    time.sleep(PAUSE)
                    first = clock(made[name][what])
                    count = max(1, min(200, int((0.01 if quick else 0.03) / first)))
                    times[name].append(1e6 * min(clock(made[name][what]) for _ in range(count)))
            base = quartiles(times["retrograde"])[0] if "retrograde" in times else None
            for name, found in times.items():
                median, low, high = quartiles(found)
                values.setdefault(name, median)
                cells = {"× the value": f"{median / values[name]:.2f}"}
                rows.append(Row(case, NAMES[name], median, low, high, median / base if base else None, cells, name))
    return rows


if __name__ == "__main__":
    run_script(__doc__, NAMES, measure, UNIT)
