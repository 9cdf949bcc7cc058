"""Kinks, limits, ties and other corners: what we say there, against JAX and PyTorch, and natively compiled.

A peer that says otherwise is named in `differs`, with what ones pull back `here`; docs/differences.md lists each with its reason.
"""

from pathlib import Path

import numpy as np
import pytest

from peers import Rows, agrees, agrees_compiled, by_us

inf, nan = np.inf, np.nan
ZERO, ONES = np.zeros(3), np.ones(3)
SYMMETRIC = np.array([[2.0, 0.5], [0.5, 1.0]])
LOWER_ONLY = np.array([[2.0, 9.0], [0.5, 1.0]])

TABLE = row = Rows()


def ones(outs):
    return tuple(map(np.ones_like, outs))


# -- kinks ------------------------------------------------------------------------------------------------------------

row("np.abs(x)", "torch.abs(x)", ZERO, differs="jax", here=[ZERO])
row("np.abs(x)", "torch.abs(x)", [0j, 1j], name="complex")
row("np.sign(x)", "torch.sign(x)", [0.0, -0.0, 2.0])
row("np.maximum(x, 0)", "F.relu(x)", ZERO, jax="nn.relu(x)", name="relu")
row("np.maximum(x, 1)", "torch.clamp_min(x, 1.0)", [1.0, 2.0], differs="jax torch", here=[[0, 1]])
row("np.minimum(x, 1)", "torch.clamp_max(x, 1.0)", [1.0, 2.0], differs="jax torch", here=[[0, 0]])
row("np.maximum(x, y)", "torch.maximum(x, y)", [1.0, 2.0], [1.0, 1.0])
row("np.minimum(x, y)", "torch.minimum(x, y)", [1.0, 2.0], [1.0, 1.0])
row("np.maximum(x, y)", "torch.maximum(x, y)", [nan, 1.0], [1.0, nan], name="of NaN", differs="torch", here=[[0, 0]] * 2)
row("np.fmax(x, y)", "torch.fmax(x, y)", [1.0, 2.0], [1.0, 1.0], differs="jax torch", here=[[0.5, 1], [0.5, 0]])
row("np.fmin(x, y)", "torch.fmin(x, y)", [1.0, 2.0], [1.0, 1.0], differs="jax torch", here=[[0.5, 0], [0.5, 1]])
row("np.fmax(x, y)", "torch.fmax(x, y)", [nan, 1.0], [1.0, nan], name="one NaN")
row("np.fmin(x, y)", "torch.fmin(x, y)", [nan, 1.0], [1.0, nan], name="one NaN")
row("np.fmax(x, y)", "torch.fmax(x, y)", [nan], [nan], name="both NaN", differs="jax torch", here=[[0]] * 2)
row("np.clip(x, 0, 1)", "torch.clip(x, 0, 1)", [0.0, 1.0, 0.5, 2.0], differs="jax torch", here=[[0, 0, 1, 0]])
row("np.clip(x, y, z)", "torch.clip(x, y, z)", [0.0, 1.0, 0.5], ZERO, ONES, differs="torch",
    here=[[0.5, 0.5, 1], [0.5, 0, 0], [0, 0.5, 0]])  # fmt: skip
row("np.clip(x, 0, 6)", "F.relu6(x)", [0.0, 6.0], jax="nn.relu6(x)", name="relu6")
row("np.where(x > 0, x, 0)", "torch.where(x > 0, x, 0)", ZERO)
row("np.where(x > 0, np.sqrt(x), 0)", "torch.where(x > 0, torch.sqrt(x), 0)", [-1.0, 4.0], name="NaN where it is not taken")
row("np.where(x > 0, np.log(x), 0)", "torch.where(x > 0, torch.log(x), 0)", [0.0, 4.0], name="infinite where it is not taken")
row("np.where(x > 0, np.log(np.where(x > 0, x, 1)), 0)", "torch.where(x > 0, torch.log(torch.where(x > 0, x, 1)), 0)", [0.0, 4.0])
row("np.heaviside(x, 0.5)", "torch.heaviside(x, torch.tensor(0.5, dtype=x.dtype)).detach()", [0.0, 1.0])
row("np.round(x)", "torch.round(x)", [0.5, 1.5, 2.5, -0.5])
for f in ("floor", "ceil", "trunc"):
    row(f"np.{f}(x)", f"torch.{f}(x)", [1.0, -1.0])
row("np.remainder(x, y)", "torch.remainder(x, y)", [4.0, -4.0, 5.0, 0.0], [2.0, 2.0, -2.5, 1.0])
row("np.fmod(x, y)", "torch.fmod(x, y)", [4.0, -4.0, 5.0, 0.0], [2.0, 2.0, -2.5, 1.0])
row("np.copysign(x, y)", "torch.copysign(x, y)", [0.0, 1.0, 2.0], [1.0, 0.0, -0.0], differs="jax", here=[[0, 1, -1], ZERO])
row("rg.nn.LeakyReLU()(x)", "F.leaky_relu(x)", ZERO, jax="nn.leaky_relu(x)", differs="jax", here=[[0.01] * 3])
row("rg.nn.ELU()(x)", "F.elu(x)", ZERO, jax="nn.elu(x)")
row("sp.special.huber(1.0, x)", "F.huber_loss(x, torch.zeros_like(x), reduction='none')", [1.0, -1.0, 0.0],
    jax="np.where(np.abs(x) <= 1.0, 0.5 * x * x, np.abs(x) - 0.5)")  # fmt: skip

# -- powers and limits ------------------------------------------------------------------------------------------------

row("np.sqrt(x)", "torch.sqrt(x)", [0.0, 1.0])
row("np.cbrt(x)", None, [0.0, -8.0])
row("np.hypot(x, y)", "torch.hypot(x, y)", [0.0, 3.0], [0.0, 4.0], differs="jax torch", here=[[0, 0.6], [0, 0.8]])
row("np.arctan2(x, y)", "torch.arctan2(x, y)", [0.0, 1.0], [-1.0, 0.0])
row("np.arctan2(x, y)", "torch.arctan2(x, y)", [0.0], [0.0], name="at the origin", differs="torch", here=[[nan], [nan]])
row("np.angle(x)", "torch.angle(x)", [0j], name="at the origin", differs="torch", here=[[complex(nan, nan)]])
row("np.angle(x)", "torch.angle(x)", [-1 + 0j], name="on the cut")
row("np.sinc(x)", "torch.sinc(x)", [0.0, 1.0])
row("np.sinc(x)", "torch.sinc(x)", [1e-9], name="near 0", differs="jax torch", here=[[-1e-9 * np.pi**2 / 3]], tolerance=1e-18)
row("np.sqrt(np.sum(x * x))", "torch.sqrt(torch.sum(x * x))", ZERO, name="written out")
row("np.power(x, y)", "torch.pow(x, y)", [0.0], [0.0], name="0 to the 0", differs="jax", here=[[0], [0]])
row("np.power(x, y)", "torch.pow(x, y)", [0.0, 0.0, 2.0, 0.0], [1.0, 2.0, 0.0, 0.5])
row("np.power(x, y)", "torch.pow(x, y)", [-2.0, -2.0], [2.0, 3.0], name="negative base")
for n in (0, 0.5, 1, 2, 3, -1):
    row(f"x ** {n}", f"x ** {n}", ZERO)
row("x ** 0", "x ** 0", [nan, inf], name="not finite")
row("0.0 ** x", "0.0 ** x", [0.0, 1.0, 2.0])
row("np.reciprocal(x)", "torch.reciprocal(x)", [0.0, inf])
row("np.divide(x, y)", "torch.divide(x, y)", [0.0, 1.0, 1.0], [0.0, 0.0, inf])
row("np.log(x)", "torch.log(x)", [0.0, inf, -1.0])
row("np.log1p(x)", "torch.log1p(x)", [-1.0, 0.0])
for f in ("arcsin", "arccos", "arctanh"):
    row(f"np.{f}(x)", f"torch.{f}(x)", [1.0, -1.0])
row("np.arccosh(x)", "torch.arccosh(x)", [1.0])
row("np.tanh(x)", "torch.tanh(x)", [800.0, -800.0, inf])
row("np.exp(x)", "torch.exp(x)", [800.0, -800.0, -inf])
row("np.sqrt(x)", "torch.sqrt(x)", [-4 + 0j], name="complex, on the cut")
row("np.log(x)", "torch.log(x)", [-4 + 0j], name="complex, on the cut")
row("np.nan_to_num(x)", "torch.nan_to_num(x)", [nan, inf, -inf, 1.0])

# -- exponentials that overflow, logarithms of zero -------------------------------------------------------------------

row("sp.special.expit(x)", "torch.special.expit(x)", [800.0, -800.0, -inf, inf])
row("sp.special.log_expit(x)", "F.logsigmoid(x)", [800.0, -800.0, 0.0], jax="nn.log_sigmoid(x)")
row("rg.nn.Softplus()(x)", "F.softplus(x)", [800.0, -800.0, 0.0], jax="nn.softplus(x)")
row("rg.nn.Softplus()(x)", "F.softplus(x)", [21.0], jax="nn.softplus(x)", name="above 20", differs="jax", here=[[1]])
row("rg.nn.GELU()(x)", "F.gelu(x)", [0.0, 40.0, -40.0], jax="nn.gelu(x, approximate=False)")
row("rg.nn.SiLU()(x)", "F.silu(x)", [0.0, 800.0, -800.0], jax="nn.silu(x)")
row("np.logaddexp(x, y)", "torch.logaddexp(x, y)", [1.0, -800.0, -inf, 5.0], [1.0, 800.0, 3.0, -inf])
row("np.logaddexp(x, y)", "torch.logaddexp(x, y)", [inf], [0.0], name="one infinite", differs="jax", here=[[1], [0]])
row("np.logaddexp(x, y)", "torch.logaddexp(x, y)", [inf], [inf], name="both infinite", differs="jax", here=[[nan], [nan]])
row("np.logaddexp(x, y)", "torch.logaddexp(x, y)", [-inf], [-inf], name="both -inf")
row("sp.special.logsumexp(x)", "torch.logsumexp(x, 0)", [1.0, -inf, 2.0])
row("sp.special.logsumexp(x)", "torch.logsumexp(x, 0)", [-inf, -inf], name="all -inf")
row("sp.special.logsumexp(x)", "torch.logsumexp(x, 0)", [1.0, inf], name="inf")
row("sp.special.softmax(x)", "torch.softmax(x, 0)", [1.0, -inf, 2.0])
row("sp.special.log_softmax(x)", "torch.log_softmax(x, 0)", [1.0, -800.0, 2.0])
row("sp.special.log_softmax(x)", "torch.log_softmax(x, 0)", [1.0, -inf, 2.0], name="-inf")
row("sp.special.xlogy(x, y)", "torch.special.xlogy(x, y)", [0.0, 2.0], [3.0, 1.0])
row("sp.special.xlogy(x, y)", "torch.special.xlogy(x, y)", [0.0], [0.0], name="at 0, 0", differs="jax torch", here=[[-inf], [0]])
row("sp.special.xlog1py(x, y)", "torch.special.xlog1py(x, y)", [0.0, 2.0], [3.0, 1.0])
row("sp.special.xlog1py(x, y)", "torch.special.xlog1py(x, y)", [0.0], [-1.0], name="at 0, -1", differs="jax torch",
    here=[[-inf], [0]])  # fmt: skip
row("sp.special.entr(x)", "torch.special.entr(x)", [0.0, -1.0, 2.0])
row("sp.special.rel_entr(x, y)", None, [0.0, 0.0, 2.0], [0.0, 3.0, 2.0])
row("sp.special.kl_div(x, y)", None, [0.0, 0.0, 2.0], [0.0, 3.0, 2.0], differs="jax", here=[ZERO, [1, 1, 0]])

# -- special functions ------------------------------------------------------------------------------------------------

for f in ("i0e", "i1", "i1e"):
    row(f"sp.special.{f}(x)", f"torch.special.{f}(x)", ZERO)
row("sp.special.spence(x)", None, [1.0, 1.7], differs="jax", here=[[-1, np.log(1.7) / -0.7]])
row("sp.special.gammaln(x)", "torch.special.gammaln(x)", [1.0, 2.0, -0.5])
row("sp.special.digamma(x)", "torch.special.digamma(x)", [-0.5, -1.5], looser=1e-9)
row("sp.special.erfinv(x)", "torch.special.erfinv(x)", [1.0, -1.0, 0.0])
row("sp.special.logit(x)", "torch.special.logit(x)", [0.0, 1.0, 0.5])
row("sp.special.ndtri(x)", "torch.special.ndtri(x)", [0.0, 1.0], differs="jax", here=[[inf, inf]])
row("sp.special.log_ndtr(x)", "torch.special.log_ndtr(x)", [-40.0, 0.0, 40.0], looser=1e-9)

# -- ties, sizes of zero and one, NaN ---------------------------------------------------------------------------------

row("np.max(x)", "torch.amax(x, 0)", [1.0, 3.0, 3.0])
row("np.min(x)", "torch.amin(x, 0)", [1.0, 1.0, 3.0])
row("np.max(x)", "torch.max(x)", [1.0, 3.0, 3.0], name="torch.max")
row("np.max(x)", "torch.amax(x, 0)", [1.0, nan, 3.0], name="of NaN", differs="jax", here=[[nan] * 3])
row("np.ptp(x)", "torch.amax(x, 0) - torch.amin(x, 0)", ONES)
row("np.argmax(x)", "torch.argmax(x)", [1.0, 3.0, 3.0])
row("np.sort(x)", "torch.sort(x, stable=True).values", [2.0, 1.0, 2.0, 1.0])
row("np.argsort(x, kind='stable')", "torch.argsort(x, stable=True)", [2.0, 1.0, 2.0, 1.0], jax="np.argsort(x, stable=True)")
row("np.sort(x)", "torch.sort(x, stable=True).values", [2.0, nan, 1.0], name="NaN")
row("np.median(x)", "torch.quantile(x, 0.5)", [4.0, 1.0, 3.0, 2.0])
row("np.median(x)", "torch.quantile(x, 0.5)", ONES, name="ties")
row("np.median(x)", "torch.median(x)", [4.0, 1.0, 3.0, 2.0], name="torch.median", differs="torch", here=[[0, 0, 0.5, 0.5]])
row("np.quantile(x, 0.5)", "torch.quantile(x, 0.5)", [4.0, 1.0, 3.0])
row("np.maximum.accumulate(x)", "torch.cummax(x, 0).values", [1.0, 3.0, 3.0, 2.0], jax="lax.cummax(x)", differs="torch",
    here=[[1, 2, 1, 0]])  # fmt: skip
row("np.prod(x)", "torch.prod(x)", [2.0, 0.0, 3.0])
row("np.prod(x)", "torch.prod(x)", [0.0, 0.0, 3.0], name="two zeros")
row("np.cumprod(x)", "torch.cumprod(x, 0)", [2.0, 0.0, 3.0, 4.0])
row("np.cumprod(x)", "torch.cumprod(x, 0)", [2.0, 0.0, 3.0, 0.0, 5.0], name="two zeros")
row("np.var(x)", "torch.var(x, correction=0)", [2.0])
row("np.var(x, ddof=1)", "torch.var(x)", [2.0])
row("np.std(x)", "torch.std(x, correction=0)", ONES, differs="jax", here=[ZERO])
row("np.std(x)", "torch.std(x, correction=0)", [2.0], name="of one", differs="jax", here=[[0]])
for f in ("mean", "sum", "prod"):
    row(f"np.{f}(x)", f"torch.{f}(x)", np.zeros(0), name="of nothing")
row("np.nansum(x)", "torch.nansum(x)", [nan, nan])
row("np.nanmean(x)", "torch.nanmean(x)", [nan, nan], differs="torch", here=[[0, 0]])
row("np.nanmax(x)", None, [nan, 1.0, 1.0])
row("np.corrcoef(x)", "torch.corrcoef(x)", [[1.0, 1.0, 1.0], [1.0, 2.0, 3.0]])
row("np.interp(x, y, z)", None, [1.0, -1.0, 3.0], [0.0, 1.0, 2.0], [0.0, 5.0, 1.0])
row("np.take(x, y)", "x[y]", [1.0, 2.0], [0, 0, 1], name="repeated")
row("np.unwrap(x)", None, [0.0, np.pi, 0.0])

# -- linear algebra ---------------------------------------------------------------------------------------------------

row("np.linalg.norm(x)", "torch.linalg.norm(x)", ZERO, differs="jax", here=[ZERO])
row("np.linalg.norm(x)", "torch.linalg.norm(x)", [0j, 0j], name="complex", differs="jax", here=[[0, 0]])
for order in (1, 3, "np.inf", "-np.inf"):
    row(f"np.linalg.norm(x, {order})", f"torch.linalg.norm(x, {order})", ZERO, differs="jax", here=[ZERO])
row("np.linalg.norm(x, 0)", "torch.linalg.norm(x, 0)", [0.0, 2.0])
row("np.linalg.norm(x, np.inf)", "torch.linalg.norm(x, np.inf)", [1.0, -1.0, 0.5], name="a tie")
row("np.linalg.norm(x, 3)", "torch.linalg.norm(x, 3)", [0.0, 1.0, 2.0], name="a zero")
row("np.linalg.norm(x, 'fro')", "torch.linalg.norm(x, 'fro')", np.zeros((2, 2)), differs="jax", here=[np.zeros((2, 2))])
row("np.linalg.norm(x, 2)", "torch.linalg.norm(x, 2)", np.eye(2), name="identity")
for order in ("2", "'nuc'"):
    row(f"np.linalg.norm(x, {order})", f"torch.linalg.norm(x, {order})", np.zeros((2, 2)), name="of zeros", differs="jax torch",
        here=[np.zeros((2, 2))])  # fmt: skip
row("np.linalg.slogdet(x)[1]", "torch.linalg.slogdet(x)[1]", [[-1.0, 2.0], [2.0, 4.0]], name="negative")
for f in ("eigvalsh", "cholesky"):
    here = by_us(Rows.of(f"np.linalg.{f}(np.tril(x) + np.tril(x, -1).T)", SYMMETRIC), ones)[2]
    row(f"np.linalg.{f}(x)", f"torch.linalg.{f}(x)", SYMMETRIC, differs="jax torch", here=here)
    row(f"np.linalg.{f}(x)", f"torch.linalg.{f}(x)", LOWER_ONLY, name="not symmetric", differs="jax torch", here=here)
row("np.linalg.eigvalsh((x + x.T) / 2)", "torch.linalg.eigvalsh((x + x.mT) / 2)", np.eye(2), name="equal values")
row("(lambda w, v: (v * w * w) @ v.T)(*np.linalg.eigh((x + x.T) / 2))",
    "(lambda w, v: (v * w * w) @ v.mT)(*torch.linalg.eigh((x + x.mT) / 2))", np.eye(2))  # fmt: skip
row("np.linalg.svdvals(x)", "torch.linalg.svdvals(x)", np.eye(2), name="equal values")
row("np.linalg.svdvals(x)", "torch.linalg.svdvals(x)", np.zeros((2, 2)), name="zeros")
row("np.linalg.pinv(x)", "torch.linalg.pinv(x)", [[1.0, 2.0], [2.0, 4.0]], name="singular")
row("np.linalg.det(x)", "torch.linalg.det(x)", [[1.0, 2.0], [2.0, 4.0]], name="singular", differs="torch",
    here=[[[4.0, -2.0], [-2.0, 1.0]]])  # fmt: skip
row("np.linalg.matrix_power(x, 0)", "torch.linalg.matrix_power(x, 0)", SYMMETRIC)


def pairs(differing):
    """Rows and peers, those that differ or the others."""
    return [
        pytest.param(r, peer, id=f"{r.name} {peer}")
        for r in TABLE.rows
        for peer in ("jax", "torch")
        if getattr(r, peer) is not None and (peer in r.differs) == differing
    ]


@pytest.mark.parametrize("row, peer", pairs(differing=False))
def test_peers_agree(row, peer):
    agrees(row, peer)


@pytest.mark.parametrize("row, peer", pairs(differing=True))
def test_peers_differ_as_the_page_says(row, peer):
    with pytest.raises(AssertionError):
        agrees(row, peer)


@pytest.mark.parametrize("row", [pytest.param(r, id=r.name) for r in TABLE.rows if r.differs])
def test_what_we_say_where_a_peer_differs(row):
    _, _, grads = by_us(row, ones)
    assert len(grads) == len(row.here)
    for found, expected in zip(grads, row.here):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("row", TABLE.all())
def test_native_code_agrees(row):
    agrees_compiled(row)


def test_the_page_lists_each_difference():
    page = (Path(__file__).parents[2] / "docs" / "differences.md").read_text()
    listed = {cell.strip().strip("`") for line in page.splitlines() if line.startswith("|") for cell in line.split("|")[1:2]}
    assert {r.text for r in TABLE.rows if r.differs} <= listed
