"""`np.fft` on traced arrays: values, gradients, lanes, native code, and the algebra of transforms."""

import numpy as np
import pytest
from function_suite import Table, check, check_compiled, check_eager, check_gradient, check_lanes, check_second_order

import retrograde as rg
from retrograde.errors import GraphTypeError, ShapeError, UnsupportedError
from retrograde.ops.fft_kernel import padded, radices

RNG = np.random.default_rng(21)
X, Y = RNG.normal(size=12), RNG.normal(size=(3, 4))
Z = RNG.normal(size=(2, 3, 4)) + 1j * RNG.normal(size=(2, 3, 4))

TABLE = Table()
for f in (np.fft.fft, np.fft.ifft, np.fft.rfft, np.fft.irfft, np.fft.ihfft, np.fft.hfft):
    given = Y if f in (np.fft.rfft, np.fft.ihfft) else Z
    TABLE.of(f, given)
    TABLE.of(f, given, n=7, axis=0, norm="ortho")
    TABLE.of(f, given, n=2, axis=-2, norm="forward")
    TABLE.of(f, X.astype(np.float32), n=9)
for f in (np.fft.fft2, np.fft.ifft2, np.fft.fftn, np.fft.ifftn, np.fft.irfft2, np.fft.irfftn):
    TABLE.of(f, Z)
    TABLE.of(f, Z, s=(5, 3), axes=(0, 2), norm="ortho")
for f in (np.fft.rfft2, np.fft.rfftn):
    TABLE.of(f, Y)
    TABLE.of(f, Z.real, s=(5, -1), axes=(0, 2))
TABLE.of(np.fft.fft, np.arange(6))
TABLE.of(np.fft.fft, np.arange(5) > 1)
TABLE.of(np.fft.rfft, np.arange(6, dtype=np.int16))
for f in (np.fft.fftshift, np.fft.ifftshift):
    TABLE.of(f, X[:5])
    TABLE.of(f, Z)
    TABLE.of(f, Y, axes=1)
    TABLE.of(f, Y, axes=(0, -1))


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_eager(f, args):
    check_eager(f, args)


@pytest.mark.parametrize("f, args", TABLE.cases)
def test_compiled(f, args):
    check_compiled(f, args)


@pytest.mark.parametrize("f, args", TABLE.smooth())
def test_gradient(f, args):
    check_gradient(f, args)


@pytest.mark.parametrize("f, args", TABLE.smooth()[::4])
def test_second_order(f, args):
    check_second_order(f, args)


@pytest.mark.parametrize("f, args", TABLE.smooth()[::2])
def test_lanes(f, args):
    check_lanes(f, args)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 31, 37, 60, 97, 128, 210, 1009, 1024])
@pytest.mark.parametrize("dtype", [np.complex128, np.complex64])
def test_native_code_of_any_length(n, dtype):
    x = (RNG.normal(size=n) + 1j * RNG.normal(size=n)).astype(dtype)
    both = rg.jit(lambda x: (np.fft.fft(x), np.fft.ifft(np.fft.fft(x))))(x)
    scale = np.finfo(dtype).eps * 6
    for found, expected in zip(both, (np.fft.fft(x.astype(complex)), x)):
        assert found.dtype == dtype
        assert np.linalg.norm(found - expected) <= scale * np.linalg.norm(expected)


@pytest.mark.parametrize("n", range(1, 200))
def test_every_length_has_stages_or_a_padded_convolution(n):
    stages = radices(n)
    if stages is None:
        assert padded(n) >= 2 * n - 1 and radices(padded(n)) is not None
    else:
        assert np.prod(stages, dtype=int) == n


@pytest.mark.parametrize("call, x", [
    (np.fft.fft, np.zeros(0)), (lambda x: np.fft.fft(x, n=0), X), (np.fft.irfft, np.ones(1)), (np.fft.fft, np.float64(1.0)),
])  # fmt: skip
def test_no_points_are_an_error(call, x):
    with pytest.raises((ValueError, IndexError)):
        call(x)
    with pytest.raises(ShapeError):
        rg.jit(call)(x)


def test_what_numpy_refuses_is_refused():
    with pytest.raises(GraphTypeError, match="real array"):
        rg.jit(np.fft.rfft)(Z)
    with pytest.raises(ValueError, match="norm"):
        rg.jit(lambda x: np.fft.fft(x, norm="both"))(X)
    with pytest.raises(UnsupportedError, match="out"):
        rg.jit(lambda x: np.fft.fft(x, out=np.zeros(12, complex)))(X)
    with pytest.raises(np.exceptions.AxisError):
        rg.jit(lambda x: np.fft.fft(x, axis=1))(X)


def test_parseval():
    """The energy of a signal is that of its transform, so its gradient is 2 x."""

    def energy(x):
        return np.sum(np.abs(np.fft.fft(x, norm="ortho")) ** 2)

    for x in (X, Z[0, 0]):
        np.testing.assert_allclose(energy(x), np.sum(np.abs(x) ** 2), rtol=1e-13)
        np.testing.assert_allclose(rg.jit(rg.grad(energy))(x), 2 * x, rtol=1e-12, atol=1e-13)


def test_a_convolution_learns_its_kernel():
    signal, true = RNG.normal(size=64), np.exp(-np.arange(64.0))
    seen = np.fft.irfft(np.fft.rfft(signal) * np.fft.rfft(true))

    def loss(kernel):
        return np.sum((np.fft.irfft(np.fft.rfft(signal) * np.fft.rfft(kernel)) - seen) ** 2)

    kernel, step = np.zeros(64), rg.jit(lambda k: k - 2e-3 * rg.grad(loss)(k))
    for _ in range(2000):
        kernel = step(kernel)
    assert loss(kernel) < 1e-3 * loss(np.zeros(64))


def test_frequencies():
    check([rg.numpy.fft.fftfreq(5, 0.1), rg.numpy.fft.rfftfreq(6)], [np.fft.fftfreq(5, 0.1), np.fft.rfftfreq(6)], 0.0)
    gradient = rg.grad(lambda d: np.sum(np.fft.fftfreq(4, d) ** 2))(0.5)
    expected = -2 * np.sum(np.fft.fftfreq(4, 1.0) ** 2) / 0.5**3
    np.testing.assert_allclose(gradient, expected)
