"""One expression on three sides: plain NumPy as retrograde traces it, JAX, and PyTorch; values, and cotangents pulled back.

A row is an expression of x, y and z. In ours `np` is NumPy and `sp` is `rg.scipy`; in JAX's, by default the same text, `np` is
`jax.numpy`, `sp` is `jax.scipy` and `nn` is `jax.nn`; PyTorch's has `torch` and `F`. A peer without the function has None.
Complex cotangents are PyTorch's and ours, dL/dRe + i dL/dIm; JAX's are their conjugates.
"""

import importlib
import re
import warnings
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

import retrograde as rg
import retrograde.scipy.linalg
import retrograde.scipy.special

jax = pytest.importorskip("jax")
torch = pytest.importorskip("torch")
for part in ("linalg", "special"):
    importlib.import_module(f"jax.scipy.{part}")

OURS = {"np": np, "sp": rg.scipy, "rg": rg}
JAX = {"np": jax.numpy, "sp": jax.scipy, "nn": jax.nn, "lax": jax.lax}
TORCH = {"torch": torch, "F": torch.nn.functional, "np": SimpleNamespace(pi=np.pi, inf=np.inf)}
SAME = "the same text"


@dataclass
class Row:
    """An expression, its wording for each peer, its arguments, and where a peer differs, why."""

    text: str
    torch: str | None
    args: tuple
    jax: str | None = SAME
    tolerance: float = 1e-12
    looser: float | None = None  # where a peer's own numbers are less exact
    here: tuple = ()  # what ones pull back, where a peer differs
    name: str = ""
    differs: str = ""  # which peers do, as docs/differences.md says

    def functions(self):
        """NumPy's and SciPy's names in it."""
        return set(re.findall(r"\b((?:np|sp|rg)\.[a-zA-Z_][\w.]*)", self.text)) - {"np.pi", "np.inf", "np.nan"}


class Rows:
    """A table of them, for pytest."""

    def __init__(self):
        self.rows = []

    def __call__(self, text, torch, *args, name="", **more):
        args = tuple(np.asarray(x) for x in args)
        self.rows.append(Row(text, torch, args, name=f"{text} {name}".strip(), **more))

    @staticmethod
    def of(text, *args):
        """A row that is in no table."""
        return Row(text, None, tuple(np.asarray(x) for x in args))

    def all(self):
        return [pytest.param(row, id=row.name) for row in self.rows]

    def against(self, peer):
        return [pytest.param(row, id=row.name) for row in self.rows if getattr(row, peer) is not None]


def function(text, side):
    return eval(f"lambda x=None, y=None, z=None: {text}", dict(side))


def leaves(out):
    return tuple(out) if isinstance(out, (tuple, list)) else (out,)


def is_inexact(x):
    """Is it an array, of whichever library, of floats or complex numbers?"""
    return x.dtype.kind in "fc"


def draw_cotangents(outs):
    """Random numbers like the outputs; zeros for those that are no floats."""
    rng = np.random.default_rng(7)
    cts = []
    for out in map(np.asarray, outs):
        ct = np.round(rng.uniform(1, 2, size=out.shape), 2) + (1j * rng.normal(size=out.shape) if out.dtype.kind == "c" else 0)
        cts.append(np.asarray(ct, out.dtype) if is_inexact(out) else np.zeros_like(out))
    return tuple(cts)


def _varying(f, args):
    """`f` of its inexact arguments alone, and those."""
    places = [i for i, x in enumerate(args) if is_inexact(x)]

    def call(*xs):
        full = list(args)
        for i, x in zip(places, xs):
            full[i] = x
        return leaves(f(*full))

    return call, [args[i] for i in places]


def by_us(row, draw=None):
    """Values, cotangents of the outputs, and those of the arguments."""
    call, xs = _varying(function(row.text, OURS), row.args)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        outs, pull = rg.vjp(call, *xs)
        cts = (draw or draw_cotangents)(outs)
        return [np.asarray(x) for x in outs], cts, [np.asarray(g) for g in pull(cts)]


def compiled_by_us(row, cts):
    call, xs = _varying(function(row.text, OURS), row.args)

    def both(xs, cts):
        outs, pull = rg.vjp(call, *xs)
        return outs, pull(cts)

    outs, grads = rg.jit(both)(xs, cts)
    return [np.asarray(x) for x in outs], [np.asarray(g) for g in grads]


def by_jax(row, cts):
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it says of itself is not ours to test
        f = function(row.text if row.jax is SAME else row.jax, JAX)
        whole = {i: x for i, x in enumerate(row.args) if not is_inexact(x)}

        @jax.jit
        def both(args, cts):
            call, xs = _varying(f, [jax.numpy.asarray(whole.get(i, x)) for i, x in enumerate(args)])
            _, pull = jax.vjp(lambda *ys: tuple(x for x in call(*ys) if x.dtype.kind in "fc"), *xs)
            return call(*xs), pull(cts)

        outs, pulled = both(row.args, tuple(np.conj(ct) for ct in cts if is_inexact(ct)))
        return [np.asarray(x) for x in outs], [np.conj(np.asarray(g)) for g in pulled]


def by_torch(row, cts):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        args = [torch.tensor(x, requires_grad=is_inexact(x)) for x in row.args]
        outs = leaves(function(row.torch, TORCH)(*args))
        xs = [x for x in args if x.requires_grad]
        pairs = [(out, torch.tensor(ct)) for out, ct in zip(outs, cts) if out.requires_grad]
        values = [x.detach().resolve_conj().numpy() for x in outs]
        grads = [None] * len(xs)
        if pairs:
            grads = torch.autograd.grad([out for out, _ in pairs], xs, [ct for _, ct in pairs], allow_unused=True)
        return values, [np.zeros_like(x.numpy(force=True)) if g is None else g.resolve_conj().numpy() for x, g in zip(xs, grads)]


def assert_same(found, expected, tolerance):
    assert len(found) == len(expected), (len(found), len(expected))
    for a, b in zip(found, expected):
        assert a.shape == b.shape, (a.shape, b.shape)
        if not is_inexact(a):
            np.testing.assert_array_equal(a, b)
            continue
        single = a.dtype in (np.float32, np.complex64)
        finite = np.abs(b[np.isfinite(b)])
        size = tolerance * (1 + np.max(finite, initial=0)) * (5e6 if single else 1)
        np.testing.assert_allclose(a, b, rtol=0, atol=size)


def agrees(row, peer):
    """Raises where the peer's values, or what it pulls back, are not ours."""
    outs, cts, grads = by_us(row)
    theirs = by_jax(row, cts) if peer == "jax" else by_torch(row, cts)
    tolerance = row.looser or row.tolerance
    assert_same(outs, theirs[0], tolerance)
    assert_same(grads, theirs[1], tolerance)


def agrees_compiled(row):
    """Raises where native code does not say what is said eagerly."""
    outs, cts, grads = by_us(row)
    found = compiled_by_us(row, cts)
    assert_same(found[0], outs, row.tolerance)
    assert_same(found[1], grads, row.tolerance)
