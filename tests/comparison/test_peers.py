"""NumPy's and SciPy's functions, as traced here, against JAX and PyTorch: values and pulled-back cotangents at regular points."""

import numpy as np
import pytest

from peers import Rows, agrees

rng = np.random.default_rng(0)
A, B = rng.normal(size=(2, 3, 4))
P, Q = rng.uniform(0.4, 2.5, size=(2, 3, 4))
U, W = rng.uniform(0.1, 0.9, size=(2, 3, 4))
X = rng.uniform(1.2, 3.0, size=(3, 4))
V, R = rng.normal(size=(2, 6))
S, T = rng.normal(size=(2, 4, 4)) + 3 * np.eye(4)
D, E = rng.normal(size=(2, 2, 3, 3)) + 3 * np.eye(3)  # stacks
H = S @ S.T + np.eye(4)
C, G = rng.normal(size=(2, 3, 4)) + 1j * rng.normal(size=(2, 3, 4))
Z = rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4)) + 3 * np.eye(4)
CV = rng.normal(size=6) + 1j * rng.normal(size=6)
I = np.array([2, 0, 1, 2])
K = rng.integers(0, 3, size=(3, 4))
M = A > 0.2

pytestmark = pytest.mark.slow
TABLE = row = Rows()

# -- elementwise ------------------------------------------------------------------------------------------------------

ELEMENTWISE = [
    (A, "sin cos tan arctan sinh cosh tanh arcsinh exp exp2 expm1 square absolute negative positive sign floor ceil trunc"
        " sinc deg2rad rad2deg nan_to_num i0"),
    (2 * U - 1, "arcsin arccos arctanh"),
    (P, "log log2 log10 log1p sqrt reciprocal"),
    (X, "arccosh"),
]  # fmt: skip
for x, names in ELEMENTWISE:
    for f in names.split():
        row(f"np.{f}(x)", f"torch.{f}(x)", x)
        if f in ("sin", "tanh", "exp", "log", "sqrt", "arcsinh", "expm1", "log1p", "arctan", "sinh", "square", "reciprocal"):
            row(f"np.{f}(x)", f"torch.{f}(x)", x.astype(np.float32), name="float32")
for f in "sin cos tan sinh cosh tanh exp log sqrt square negative absolute arctan arcsinh log1p expm1 arcsin arctanh".split():  # noqa: SIM905
    row(f"np.{f}(x)", f"torch.{f}(x)", 0.6 * C, name="complex128")
for f in ("exp", "sqrt", "absolute"):
    row(f"np.{f}(x)", f"torch.{f}(x)", C.astype(np.complex64), name="complex64")
row("np.cbrt(x)", None, P)
row("np.fabs(x)", "torch.abs(x)", A)
row("np.degrees(x)", "torch.rad2deg(x)", A)
row("np.radians(x)", "torch.deg2rad(x)", A)
row("np.rint(x)", "torch.round(x)", 3 * A)
row("np.round(x, 1)", "torch.round(x, decimals=1)", 3 * A)
row("np.real(x)", "torch.real(x)", C)
row("np.imag(x)", "torch.imag(x)", C)
row("np.conj(x)", "torch.conj(x)", C)
row("np.angle(x)", "torch.angle(x)", C)
row("np.clip(x, -0.5, 0.7)", "torch.clip(x, -0.5, 0.7)", A)
row("np.clip(x, y, z)", "torch.clip(x, y, z)", A, A - B**2 * 0.2, A + B * 0.1 + 0.4, name="by arrays")
row("np.isfinite(x)", "torch.isfinite(x)", A)
row("np.frexp(x)", "torch.frexp(x)", A)
row("np.modf(x)", "(torch.frac(x), torch.trunc(x))", 3 * A)

for f in "add subtract multiply maximum minimum hypot arctan2 logaddexp logaddexp2 fmax fmin copysign nextafter".split():  # noqa: SIM905
    row(f"np.{f}(x, y)", f"torch.{f}(x, y)" if f != "nextafter" else None, A, B,
        **({"jax": None} if f == "nextafter" else {}))  # fmt: skip
for f in ("add", "multiply", "hypot", "logaddexp", "maximum"):
    row(f"np.{f}(x, y)", f"torch.{f}(x, y)", A, B[:1], name="broadcast")
    row(f"np.{f}(x, y)", f"torch.{f}(x, y)", A.astype(np.float32), B.astype(np.float32)[:, :1], name="float32")
for f in ("add", "subtract", "multiply", "divide", "power"):
    row(f"np.{f}(x, y)", f"torch.{'pow' if f == 'power' else f}(x, y)", C, G, name="complex128", tolerance=1e-11)
row("np.divide(x, y)", "torch.divide(x, y)", A, P)
row("np.true_divide(x, y)", "torch.true_divide(x, y)", A, P[:1])
row("np.power(x, y)", "torch.pow(x, y)", P, A)
row("np.float_power(x, y)", "torch.float_power(x, y)", P, A)
row("x ** 3", "x ** 3", A)
row("x ** -2.5", "x ** -2.5", P)
row("2.0 ** x", "2.0 ** x", A)
row("np.remainder(x, y)", "torch.remainder(x, y)", 3 * A, P)
row("np.mod(x, 0.7)", "torch.remainder(x, 0.7)", 3 * A)
row("np.fmod(x, y)", "torch.fmod(x, y)", 3 * A, P)
row("np.floor_divide(x, y)", "torch.floor_divide(x, y).detach()", 3 * A, P)
row("np.divmod(x, y)", "(torch.floor_divide(x, y).detach(), torch.remainder(x, y))", 3 * A, P)
row("np.heaviside(x, y)", "torch.heaviside(x, y).detach()", A, B)
row("np.ldexp(x, y)", "torch.ldexp(x, y)", A, K)
row("np.where(y, x, z)", "torch.where(y, x, z)", A, M, B)
row("np.greater(x, y)", "torch.greater(x, y)", A, B)
row("np.isclose(x, y, atol=0.5)", "torch.isclose(x, y, atol=0.5)", A, B)

# -- special functions ------------------------------------------------------------------------------------------------

SPECIAL = [
    (A, "erf erfc expit i0 i0e i1 i1e ndtr log_ndtr exprel"),
    (2 * U - 1, "erfinv"),
    (P, "gammaln digamma expi exp1 gamma entr"),
    (U, "spence"),  # above 1 JAX has NaN for its derivative
    (U, "logit ndtri"),
]
IN_TORCH = "erf erfc expit i0 i0e i1 i1e ndtr log_ndtr erfinv gammaln digamma entr logit ndtri".split()  # noqa: SIM905
for x, names in SPECIAL:
    for f in names.split():
        row(f"sp.special.{f}(x)", f"torch.special.{f}(x)" if f in IN_TORCH else None, x, tolerance=3e-11,
            **({"jax": "np.expm1(x) / x"} if f == "exprel" else {"looser": 1e-9} if f == "digamma" else {}))  # fmt: skip
row("sp.special.erfcx(x)", "torch.special.erfcx(x)", A, jax="np.exp(x * x) * sp.special.erfc(x)", tolerance=1e-11)
row("sp.special.log_expit(x)", "F.logsigmoid(x)", A, jax="nn.log_sigmoid(x)")
row("sp.special.xlogy(x, y)", "torch.special.xlogy(x, y)", A, P)
row("sp.special.xlog1py(x, y)", "torch.special.xlog1py(x, y)", A, P)
row("sp.special.kl_div(x, y)", None, P, Q)
row("sp.special.rel_entr(x, y)", None, P, Q)
row("sp.special.betaln(x, y)", "torch.lgamma(x) + torch.lgamma(y) - torch.lgamma(x + y)", P, Q, tolerance=1e-11)
row("sp.special.beta(x, y)", None, P, Q, tolerance=1e-11)
row("sp.special.zeta(2.5, x)", "torch.special.zeta(torch.full_like(x, 2.5), x)", P, tolerance=1e-11)
row("sp.special.polygamma(2, x)", "torch.special.polygamma(2, x)", P, tolerance=1e-11)
row("sp.special.multigammaln(x, 2)", "torch.special.multigammaln(x, 2)", X, tolerance=1e-11)
row("sp.special.gammainc(1.5, x)", "torch.special.gammainc(torch.full_like(x, 1.5), x)", P, tolerance=1e-11)
row("sp.special.gammaincc(1.5, x)", "torch.special.gammaincc(torch.full_like(x, 1.5), x)", P, tolerance=1e-11)
row("sp.special.betainc(1.5, 0.7, x)", None, U, tolerance=1e-11)
row("sp.special.huber(0.8, x)", "F.huber_loss(x, torch.zeros_like(x), delta=0.8, reduction='none')", A,
    jax="np.where(np.abs(x) <= 0.8, 0.5 * x * x, 0.8 * (np.abs(x) - 0.4))")  # fmt: skip
row("sp.special.boxcox(x, 0.7)", "(x ** 0.7 - 1) / 0.7", P, jax="(x ** 0.7 - 1) / 0.7")
row("sp.special.logsumexp(x, axis=1)", "torch.logsumexp(x, 1)", A)
row("sp.special.logsumexp(x)", "torch.logsumexp(x, (0, 1))", A)
row("sp.special.logsumexp(x, b=y)", None, A, P)
row("sp.special.softmax(x, axis=1)", "torch.softmax(x, 1)", A)
row("sp.special.log_softmax(x, axis=0)", "torch.log_softmax(x, 0)", A)
row("sp.special.softmax(x, axis=1)", "torch.softmax(x, 1)", A.astype(np.float32), name="float32")
row("sp.special.binom(x, y)", None, X, U, tolerance=1e-11,
    jax="np.exp(sp.special.gammaln(x + 1) - sp.special.gammaln(y + 1) - sp.special.gammaln(x - y + 1))")  # fmt: skip

# -- activations and losses -------------------------------------------------------------------------------------------

row("rg.nn.ReLU()(x)", "F.relu(x)", A, jax="nn.relu(x)")
row("rg.nn.LeakyReLU()(x)", "F.leaky_relu(x)", A, jax="nn.leaky_relu(x)")
row("rg.nn.ELU()(x)", "F.elu(x)", A, jax="nn.elu(x)")
row("rg.nn.GELU()(x)", "F.gelu(x)", A, jax="nn.gelu(x, approximate=False)")
row("rg.nn.GELU(approximate='tanh')(x)", "F.gelu(x, approximate='tanh')", A, jax="nn.gelu(x)")
row("rg.nn.SiLU()(x)", "F.silu(x)", A, jax="nn.silu(x)")
row("rg.nn.Softplus()(x)", "F.softplus(x)", A, jax="nn.softplus(x)")
row("rg.nn.Sigmoid()(x)", "torch.sigmoid(x)", A, jax="nn.sigmoid(x)")
row("rg.nn.Softmax()(x)", "torch.softmax(x, -1)", A, jax="nn.softmax(x)")
row("np.maximum(x, 0) ** 2", "F.relu(x) ** 2", A, jax="nn.relu(x) ** 2")
row("np.clip(x, 0, 6)", "F.relu6(x)", 5 * A, jax="nn.relu6(x)")
row("x * np.tanh(np.logaddexp(x, 0))", "F.mish(x)", A, jax="nn.mish(x)")
row("rg.nn.losses.mse(x, y)", "F.mse_loss(x, y)", A, B, jax="np.mean((x - y) ** 2)")
row("rg.nn.losses.mae(x, y)", "F.l1_loss(x, y)", A, B, jax="np.mean(np.abs(x - y))")
row("rg.nn.losses.huber(x, y)", "F.huber_loss(x, y)", A, B, jax=None)
row("rg.nn.losses.binary_cross_entropy(x, y)", "F.binary_cross_entropy_with_logits(x, y)", A, U, jax=None)
row("rg.nn.losses.cross_entropy(x, y)", "F.cross_entropy(x, y)", A, K[:, 0],
    jax="-np.mean(np.take_along_axis(nn.log_softmax(x), y[:, None], 1))")  # fmt: skip

# -- reductions -------------------------------------------------------------------------------------------------------

for x, name in ((A, ""), (A.astype(np.float32), "float32"), (C, "complex128")):
    row("np.sum(x, 0)", "torch.sum(x, 0)", x, name=name)
    row("np.mean(x, axis=1, keepdims=True)", "torch.mean(x, 1, keepdim=True)", x, name=name)
    row("np.prod(x, 1)", "torch.prod(x, 1)", x, name=name)
    row("np.cumsum(x, 1)", "torch.cumsum(x, 1)", x, name=name)
    row("np.cumprod(x, 0)", "torch.cumprod(x, 0)", x, name=name)
for f in ("var", "std"):
    row(f"np.{f}(x)", f"torch.{f}(x, correction=0)", A)
    row(f"np.{f}(x, 0, ddof=1)", f"torch.{f}(x, 0)", A)
for f in ("max", "min", "amax", "amin"):
    row(f"np.{f}(x)", f"torch.{f}(x)", A)
    row(f"np.{f}(x, 1)", f"torch.a{f[-3:]}(x, 1)", A)
row("np.ptp(x, 1)", "torch.amax(x, 1) - torch.amin(x, 1)", A)
row("np.average(x, weights=y)", "(x * y).sum() / y.sum()", A, P)
row("np.median(x)", None, V[:5])
row("np.median(x)", "torch.quantile(x, 0.5)", V, name="even count")
row("np.median(x, 0)", "torch.median(x, 0).values", A, name="along an axis")
row("np.quantile(x, 0.3)", "torch.quantile(x, 0.3)", V)
row("np.quantile(x, y, axis=1)", "torch.quantile(x, y, dim=1)", A, np.array([0.1, 0.62]))
row("np.percentile(x, 40, axis=0)", "torch.quantile(x, 0.4, dim=0)", A)
N = np.where(M, A, np.nan)
row("np.nansum(x, 0)", "torch.nansum(x, 0)", N)
row("np.nanmean(x)", "torch.nanmean(x)", N)
row("np.nanmax(x)", None, N)
row("np.nanmin(x)", None, N)
row("np.nanvar(x)", None, N)
row("np.nanstd(x)", None, N)
row("np.nanprod(x)", None, N)
row("np.nanmedian(x)", "torch.nanquantile(x, 0.5)", N)
row("np.nanquantile(x, 0.3)", "torch.nanquantile(x, 0.3)", N)
row("np.nancumsum(x)", "torch.cumsum(torch.nan_to_num(x).ravel(), 0)", N)
row("np.argmax(x, 1)", "torch.argmax(x, 1)", A)
row("np.argmin(x)", "torch.argmin(x)", A)
row("np.all(x > 0, 1)", "torch.all(x > 0, 1)", A)
row("np.any(x > 0, 1)", "torch.any(x > 0, 1)", A)
row("np.count_nonzero(x, 1)", "torch.count_nonzero(x, 1)", A)
row("np.cov(x)", "torch.cov(x)", A)
row("np.corrcoef(x)", "torch.corrcoef(x)", A)
row("np.maximum.accumulate(x, axis=1)", "torch.cummax(x, 1).values", A, jax="lax.cummax(x, axis=1)")
row("np.minimum.accumulate(x, axis=1)", "torch.cummin(x, 1).values", A, jax="lax.cummin(x, axis=1)")
row("np.diff(x, axis=1)", "torch.diff(x, dim=1)", A)
row("np.ediff1d(x)", "torch.diff(x)", V)
row("np.gradient(x)", "torch.gradient(x)", V, jax="np.gradient(x)")
row("np.gradient(x, 0.5, axis=1)", "torch.gradient(x, spacing=0.5, dim=1)[0]", A)
row("np.trapezoid(x, dx=0.3)", "torch.trapezoid(x, dx=0.3)", A)
row("np.trapezoid(x, y)", "torch.trapezoid(x, y)", V, R)
row("np.unwrap(x)", None, 4 * V)

# -- order ------------------------------------------------------------------------------------------------------------

row("np.sort(x, 1)", "torch.sort(x, 1).values", A)
row("np.argsort(x, 1)", "torch.argsort(x, 1)", A)
row("np.partition(x, 2)[2]", "torch.kthvalue(x, 3).values", V)
row("np.searchsorted(x, y)", "torch.searchsorted(x, y)", np.sort(V), R)
row("np.digitize(x, y)", "torch.bucketize(x, y, right=True)", R, np.sort(V))
row("np.interp(x, y, z)", None, U[0] * 5, np.arange(6.0), V)

# -- shape and choice -------------------------------------------------------------------------------------------------

row("np.reshape(x, (2, 6))", "torch.reshape(x, (2, 6))", A)
row("np.ravel(x)", "torch.ravel(x)", A)
row("np.transpose(x)", "torch.transpose(x, 0, 1)", A)
row("np.swapaxes(x, 0, 2)", "torch.swapaxes(x, 0, 2)", D)
row("np.moveaxis(x, 0, 2)", "torch.moveaxis(x, 0, 2)", D)
row("np.squeeze(x)", "torch.squeeze(x)", A[:, :1])
row("np.expand_dims(x, 1)", "torch.unsqueeze(x, 1)", A)
row("np.broadcast_to(x, (3, 4))", "torch.broadcast_to(x, (3, 4))", A[0])
row("np.concatenate([x, y], 1)", "torch.concatenate([x, y], 1)", A, B)
row("np.stack([x, y], 1)", "torch.stack([x, y], 1)", A, B)
for f in ("hstack", "vstack", "dstack", "column_stack"):
    row(f"np.{f}([x, y])", f"torch.{f}([x, y])", A, B)
row("np.split(x, 2, 1)[1]", "torch.tensor_split(x, 2, 1)[1]", A)
row("np.array_split(x, 3)[0]", "torch.tensor_split(x, 3)[0]", V)
row("np.hsplit(x, 2)[0]", "torch.hsplit(x, 2)[0]", A)
row("np.flip(x, 1)", "torch.flip(x, (1,))", A)
row("np.fliplr(x)", "torch.fliplr(x)", A)
row("np.flipud(x)", "torch.flipud(x)", A)
row("np.rot90(x)", "torch.rot90(x)", A)
row("np.roll(x, 2, 1)", "torch.roll(x, 2, 1)", A)
row("np.tile(x, (2, 1))", "torch.tile(x, (2, 1))", A)
row("np.repeat(x, 2, 0)", "torch.repeat_interleave(x, 2, 0)", A)
row("np.pad(x, 1)", "F.pad(x, (1, 1, 1, 1))", A)
row("np.pad(x, 2, mode='reflect')", "F.pad(x[None], (2, 2), mode='reflect')[0]", V)
row("np.pad(x, 2, mode='edge')", "F.pad(x[None], (2, 2), mode='replicate')[0]", V)
row("np.pad(x, 2, mode='wrap')", "F.pad(x[None], (2, 2), mode='circular')[0]", V)
row("np.tril(x)", "torch.tril(x)", S)
row("np.triu(x, 1)", "torch.triu(x, 1)", S)
row("np.diag(x)", "torch.diag(x)", V)
row("np.diagonal(x)", "torch.diagonal(x)", S)
row("np.diagflat(x)", "torch.diagflat(x)", V)
row("np.vander(x)", "x[:, None] ** torch.arange(5, -1, -1)", V, tolerance=1e-11)
row("np.linspace(x, y, 5)", None, np.float64(0.3), np.float64(2.0))
row("np.atleast_2d(x)", "torch.atleast_2d(x)", V)
row("np.block([[x, y], [y, x]])", "torch.cat([torch.cat([x, y], 1), torch.cat([y, x], 1)])", A, B)
row("np.meshgrid(x, y)", "torch.meshgrid(x, y, indexing='xy')", V, R)
row("np.take(x, y, 0)", "torch.index_select(x, 0, y)", S, I)
row("np.take_along_axis(x, y, 0)", "torch.take_along_dim(x, y, 0)", A, K)
row("x[y]", "x[y]", S, I)
row("x[1:, ::2]", "x[1:, ::2]", A)
row("x[y, 1]", "x[y, 1]", S, I)
row("np.choose(y, [x, z, x * z])", "torch.where(y == 0, x, torch.where(y == 1, z, x * z))", A, K, B,
    jax="np.choose(y, [x, z, x * z], mode='clip')")  # fmt: skip
row("np.select([y, ~y], [x, z])", "torch.where(y, x, z)", A, M, B)
row("np.insert(x, 2, 7.0)", None, V)
row("np.delete(x, 2)", None, V)
row("np.append(x, y)", "torch.cat([x, y])", V, R)
row("np.bincount(y, x, minlength=3)", "torch.zeros(3, dtype=x.dtype).index_add(0, y, x)", V[:4], I,
    jax="np.zeros(3).at[y].add(x)")  # fmt: skip
row("rg.at(x)[y].add(z)", "x.index_add(0, y, z)", V, I, R[:4], jax="x.at[y].add(z)")

# -- products ---------------------------------------------------------------------------------------------------------

for x, y, name in ((S, T, ""), (Z, Z[::-1].copy(), "complex128"), (S.astype(np.float32), T.astype(np.float32), "float32")):
    row("np.matmul(x, y)", "torch.matmul(x, y)", x, y, name=name)
    row("np.dot(x, y)", "torch.mm(x, y)", x, y, name=name)
    row("np.einsum('ij,kj->ik', x, y)", "torch.einsum('ij,kj->ik', x, y)", x, y, name=name)
    row("np.outer(x[0], y[1])", "torch.outer(x[0], y[1])", x, y, name=name)
row("x @ y", "x @ y", D, E, name="stacks")
row("np.inner(x, y)", "torch.inner(x, y)", A, B)
row("np.tensordot(x, y, 2)", "torch.tensordot(x, y, 2)", A, B)
row("np.vdot(x, y)", "torch.vdot(x, y)", CV, CV[::-1].copy())
row("np.vecdot(x, y)", "torch.linalg.vecdot(x, y)", C, G)
row("np.kron(x, y)", "torch.kron(x, y)", A, B)
row("np.cross(x, y)", "torch.linalg.cross(x, y)", D[0], E[0])
row("np.trace(x)", "torch.trace(x)", S)
row("np.convolve(x, y)", None, V, R)
row("np.convolve(x, y, 'valid')", "F.conv1d(x[None, None], y.flip(0)[None, None])[0, 0]", V, R[:3])
row("np.correlate(x, y, 'valid')", "F.conv1d(x[None, None], y[None, None])[0, 0]", V, R[:3])
row("np.polyval(x, y)", None, V, R)
row("np.polymul(x, y)", None, V, R)

# -- linear algebra ---------------------------------------------------------------------------------------------------

for x, y, name in ((S, T[:, :2], ""), (D, E, "stacks")):
    row("np.linalg.solve(x, y)", "torch.linalg.solve(x, y)", x, y, name=name, tolerance=1e-11)
    row("np.linalg.inv(x)", "torch.linalg.inv(x)", x, name=name, tolerance=1e-11)
    row("np.linalg.det(x)", "torch.linalg.det(x)", x, name=name, tolerance=1e-11)
    row("np.linalg.matrix_power(x, 3)", "torch.linalg.matrix_power(x, 3)", x, name=name, tolerance=1e-11)
    row("np.linalg.pinv(x)", "torch.linalg.pinv(x)", x, name=name, tolerance=1e-10)
row("np.linalg.slogdet(x)", "torch.linalg.slogdet(x)", S)
row("np.linalg.matrix_power(x, 3)", "torch.linalg.matrix_power(x, 3)", Z, name="complex128", tolerance=1e-11)
row("np.linalg.pinv(x)", "torch.linalg.pinv(x)", A, name="wide", tolerance=1e-10)
row("np.linalg.lstsq(x, y, rcond=None)[0]", "torch.linalg.lstsq(x, y).solution", A.T.copy(), B.T.copy(), tolerance=1e-10)
row("np.linalg.cholesky(x + x.T)", "torch.linalg.cholesky(x + x.mT)", H, tolerance=1e-11)
row("np.linalg.qr(x)", "torch.linalg.qr(x)", A.T.copy(), tolerance=1e-11)
row("np.linalg.eigvalsh(x + x.T)", "torch.linalg.eigvalsh(x + x.mT)", S, tolerance=1e-11)
row("(lambda w, v: (v * np.sin(w)) @ v.T)(*np.linalg.eigh(x + x.T))",
    "(lambda w, v: (v * torch.sin(w)) @ v.mT)(*torch.linalg.eigh(x + x.mT))", S, tolerance=1e-11)  # fmt: skip
row("np.linalg.svdvals(x)", "torch.linalg.svdvals(x)", A, tolerance=1e-11)
row("(lambda u, s, v: (u * np.sin(s)) @ v)(*np.linalg.svd(x, full_matrices=False))",
    "(lambda u, s, v: (u * torch.sin(s)) @ v)(*torch.linalg.svd(x, full_matrices=False))", A, tolerance=1e-11)  # fmt: skip
row("np.linalg.cond(x)", "torch.linalg.cond(x)", S, tolerance=1e-11)
for x in (Z, C, C.T.copy()):
    name = f"complex128 {x.shape}"
    row("np.linalg.pinv(x)", "torch.linalg.pinv(x)", x, name=name, tolerance=1e-10)
    row("np.linalg.svdvals(x)", "torch.linalg.svdvals(x)", x, name=name, tolerance=1e-11)
    row("np.linalg.norm(x, 'nuc')", "torch.linalg.norm(x, 'nuc')", x, name=name, tolerance=1e-11)
    row("(lambda u, s, v: (u * np.sin(s)) @ v)(*np.linalg.svd(x, full_matrices=False))",
        "(lambda u, s, v: (u * torch.sin(s)) @ v)(*torch.linalg.svd(x, full_matrices=False))", x, name=name, tolerance=1e-11,
    )  # fmt: skip
    row("(lambda u, s, v: (np.abs(u), np.abs(v) ** 2))(*np.linalg.svd(x, full_matrices=False))",
        "(lambda u, s, v: (abs(u), abs(v) ** 2))(*torch.linalg.svd(x, full_matrices=False))", x, name=name, tolerance=1e-11,
    )  # fmt: skip
for x in (Z, C.T.copy()):
    row("np.linalg.qr(x)", "torch.linalg.qr(x)", x, name=f"complex128 {x.shape}", tolerance=1e-11)
row("np.linalg.lstsq(x, y, rcond=None)[0]", "torch.linalg.lstsq(x, y).solution", C.T.copy(), G.T.copy(), name="complex128",
    tolerance=1e-10)  # fmt: skip
row("np.linalg.cholesky(x @ x.conj().T)", "torch.linalg.cholesky(x @ x.mH)", Z, name="complex128", tolerance=1e-11)
row("np.linalg.eigvalsh(x + x.conj().T)", "torch.linalg.eigvalsh(x + x.mH)", Z, name="complex128", tolerance=1e-11)
row("(lambda w, v: ((v * np.sin(w)) @ v.conj().T, np.abs(v)))(*np.linalg.eigh(x + x.conj().T))",
    "(lambda w, v: ((v * torch.sin(w)) @ v.mH, abs(v)))(*torch.linalg.eigh(x + x.mH))", Z, tolerance=1e-11)  # fmt: skip
row("np.linalg.cond(x)", "torch.linalg.cond(x)", Z, name="complex128", tolerance=1e-11)
row("np.linalg.norm(x, 2)", "torch.linalg.norm(x, 2)", Z, name="complex128", tolerance=1e-11)
row("np.linalg.multi_dot([x, y, x])", "torch.linalg.multi_dot([x, y, x])", S, T)
for ord in (None, 1, -1, 2, -2, "'fro'", "'nuc'", "np.inf"):
    row(f"np.linalg.norm(x, {ord})", f"torch.linalg.norm(x, {ord})", A, tolerance=1e-11)
for ord in (1, 2, 3.5, "np.inf"):
    row(f"np.linalg.norm(x, {ord}, axis=1)", f"torch.linalg.norm(x, {ord}, dim=1)", A)
row("np.linalg.norm(x)", "torch.linalg.norm(x)", C, name="complex128")
row("np.linalg.vector_norm(x, axis=0)", "torch.linalg.vector_norm(x, dim=0)", A)
row("np.linalg.matrix_norm(x)", "torch.linalg.matrix_norm(x)", D)
row("np.linalg.tensorsolve(x.reshape(2, 2, 4), y)", "torch.linalg.tensorsolve(x.reshape(2, 2, 4), y)", S, T[:2, :2],
    tolerance=1e-11)  # fmt: skip
row("np.linalg.tensorinv(x.reshape(2, 2, 4), 2)", "torch.linalg.tensorinv(x.reshape(2, 2, 4), 2)", S, tolerance=1e-11)
row("sp.linalg.solve_triangular(x, y, lower=True)", "torch.linalg.solve_triangular(x.tril(), y, upper=False)", S, T,
    tolerance=1e-11)  # fmt: skip
row("sp.linalg.expm(x)", "torch.linalg.matrix_exp(x)", 0.3 * S, tolerance=1e-11)
row("sp.linalg.expm(x)", "torch.linalg.matrix_exp(x)", 0.3 * Z, name="complex128", tolerance=1e-11)
row("sp.linalg.solve_triangular(x, y, trans=2)", "torch.linalg.solve_triangular(x.triu().mH, y, upper=False)", Z, Z + 1,
    name="complex128", tolerance=1e-11)  # fmt: skip
row("sp.linalg.cho_solve((np.linalg.cholesky(x @ x.conj().T), True), y)",
    "torch.cholesky_solve(y, torch.linalg.cholesky(x @ x.mH))", Z, Z + 1, name="complex128", tolerance=1e-10)  # fmt: skip
row("sp.linalg.cho_solve((np.linalg.cholesky(x @ x.T), True), y)", "torch.cholesky_solve(y, torch.linalg.cholesky(x @ x.mT))",
    S, T, tolerance=1e-10)  # fmt: skip
row("sp.linalg.lu_solve(sp.linalg.lu_factor(x), y)", "torch.linalg.lu_solve(*torch.linalg.lu_factor(x), y)", S, T,
    tolerance=1e-11)  # fmt: skip
row("sp.linalg.toeplitz(x)", None, V)
row("sp.linalg.block_diag(x, y)", "torch.block_diag(x, y)", A, B)

# -- Fourier transforms -----------------------------------------------------------------------------------------------

for f in ("fft", "ifft"):
    row(f"np.fft.{f}(x)", f"torch.fft.{f}(x)", C)
    row(f"np.fft.{f}(x, 7, norm='ortho')", f"torch.fft.{f}(x, 7, norm='ortho')", CV)
    row(f"np.fft.{f}2(x)", f"torch.fft.{f}2(x)", C)
    row(f"np.fft.{f}n(x)", f"torch.fft.{f}n(x)", C)
row("np.fft.fft(x)", "torch.fft.fft(x)", C.astype(np.complex64), name="complex64")
row("np.fft.rfft(x)", "torch.fft.rfft(x)", A)
row("np.fft.irfft(x)", "torch.fft.irfft(x)", C)
row("np.fft.irfft(x, 5)", "torch.fft.irfft(x, 5)", C)
row("np.fft.hfft(x)", "torch.fft.hfft(x)", CV)
row("np.fft.ihfft(x)", "torch.fft.ihfft(x)", V)
row("np.fft.rfft2(x)", "torch.fft.rfft2(x)", A)
row("np.fft.irfft2(x)", "torch.fft.irfft2(x)", C)
row("np.fft.rfftn(x)", "torch.fft.rfftn(x)", A)
row("np.fft.fftshift(x)", "torch.fft.fftshift(x)", A)
row("np.fft.ifftshift(x)", "torch.fft.ifftshift(x)", A)


@pytest.mark.parametrize("row", TABLE.against("jax"))
def test_jax_agrees(row):
    agrees(row, "jax")


@pytest.mark.parametrize("row", TABLE.against("torch"))
def test_pytorch_agrees(row):
    agrees(row, "torch")


def test_the_table_is_wide():
    for peer in ("jax", "torch"):
        assert len(set().union(*[r.functions() for r in TABLE.rows if getattr(r, peer) is not None])) >= 150
