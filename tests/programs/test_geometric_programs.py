"""Cameras and motions: bundle adjustment by Gauss-Newton steps, a curve through rotations."""

import numpy as np
import pytest

import retrograde as rg

RNG = np.random.default_rng(22)
both = pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])


def cross(a, b):
    """The cross product, component by component."""
    (x, y, z), (u, v, w) = ([a[..., i] for i in range(3)] for a in (a, b))
    return np.stack([y * w - z * v, z * u - x * w, x * v - y * u], axis=-1)


def rotated(v, points):
    """Rodrigues' formula (1840): points turned about v by |v|; where v is zero, its limit, by selects that keep NaN away."""
    squared = np.sum(v * v, axis=-1, keepdims=True)
    tiny = squared < 1e-12
    angle = np.sqrt(np.where(tiny, 1.0, squared))
    a = np.where(tiny, 1 - squared / 6, np.sin(angle) / angle)
    b = np.where(tiny, 0.5 - squared / 24, (1 - np.cos(angle)) / angle**2)
    turned = cross(v, points)
    return points + a * turned + b * cross(v, turned)


def seen(camera, point):
    """Where a camera (rotation, translation, focal length, two of distortion) sees a point (as in Snavely et al., 2006)."""
    p = rotated(camera[..., :3], point) + camera[..., 3:6]
    flat = -p[..., :2] / p[..., 2:]
    r2 = np.sum(flat * flat, axis=-1, keepdims=True)
    return camera[..., 6:7] * (1 + r2 * (camera[..., 7:8] + r2 * camera[..., 8:9])) * flat


def reprojection(cameras, points, which, marks):
    return seen(cameras[which[0]], points[which[1]]) - marks


def scene(n_cameras=4, n_points=9, noise=0.02):
    cameras = np.zeros((n_cameras, 9))
    cameras[:, :6] = 0.2 * RNG.normal(size=(n_cameras, 6))
    cameras[:, 5] -= 5
    cameras[:, 6:] = 2.0, 0.01, -0.001
    points = RNG.normal(size=(n_points, 3))
    which = np.array([(c, p) for c in range(n_cameras) for p in range(n_points)]).T
    marks = seen(cameras[which[0]], points[which[1]])
    return cameras + noise * RNG.normal(size=cameras.shape), points + noise * RNG.normal(size=points.shape), which, marks


def differences(f, x, h=1e-6):
    columns = []
    for i in range(x.size):
        e = np.zeros(x.size)
        e[i] = h
        columns.append((f(x + e.reshape(x.shape)) - f(x - e.reshape(x.shape))) / (2 * h))
    return np.stack(columns, -1).reshape(*columns[0].shape, *x.shape)


@both
def test_jacobians_of_the_reprojection_error_agree(transform):
    cameras, points, which, marks = scene()
    dense = transform(rg.jacobian(reprojection, (0, 1)))(cameras, points, which, marks)
    forward = transform(rg.jacfwd(reprojection, (0, 1)))(cameras, points, which, marks)
    for by, (one, other) in enumerate(zip(dense, forward)):
        np.testing.assert_allclose(one, other, atol=1e-12)
        args = [cameras, points]

        def moved(x, by=by, args=args):
            return reprojection(*args[:by], x, *args[by + 1 :], which, marks)

        np.testing.assert_allclose(one, differences(moved, args[by]), atol=1e-7)
    # each mark depends on one camera and one point: the blocks, mark by mark, are all there is
    blocks = transform(rg.vmap(rg.jacobian(seen, (0, 1))))(cameras[which[0]], points[which[1]])
    here = np.arange(which.shape[1])
    for block, whole, index in zip(blocks, dense, which):
        np.testing.assert_allclose(block, whole[here, :, index], atol=1e-12)
    assert np.count_nonzero(dense[0]) <= blocks[0].size


def test_gauss_newton_steps_adjust_a_bundle():
    cameras, points, which, marks = scene()
    jacobians = rg.jit(rg.jacobian(reprojection, (0, 1)))
    errors = [np.sum(reprojection(cameras, points, which, marks) ** 2)]
    for _ in range(4):
        J = np.concatenate([j.reshape(marks.size, -1) for j in jacobians(cameras, points, which, marks)], 1)
        residual = reprojection(cameras, points, which, marks).ravel()
        step = np.linalg.solve(J.T @ J + 1e-6 * np.eye(J.shape[1]), -J.T @ residual)
        cameras = cameras + step[: cameras.size].reshape(cameras.shape)
        points = points + step[cameras.size :].reshape(points.shape)
        errors.append(np.sum(reprojection(cameras, points, which, marks) ** 2))
    assert errors[1] < 0.1 * errors[0] and errors[-1] < 1e-6 * errors[0]


@both
def test_a_gauss_newton_product_needs_no_jacobian(transform):
    """J' J v by one push forward and one pull back."""
    cameras, points, which, marks = scene(3, 5)
    v = RNG.normal(size=cameras.shape)

    def product(cameras, v):
        def error(c):
            return reprojection(c, points, which, marks)

        _, along = rg.jvp(error, (cameras,), (v,))
        return rg.vjp(error, cameras)[1](along)[0]

    J = rg.jacobian(reprojection)(cameras, points, which, marks).reshape(marks.size, -1)
    np.testing.assert_allclose(transform(product)(cameras, v).ravel(), J.T @ (J @ v.ravel()), rtol=1e-10)


@both
def test_a_rotation_by_nothing_has_its_derivative(transform):
    """d(R(v) p)/dv at v = 0 is -[p]_x."""
    p = np.array([1.0, -2.0, 0.5])
    found = transform(rg.jacobian(rotated))(np.zeros(3), p)
    np.testing.assert_allclose(found, [[0, p[2], -p[1]], [-p[2], 0, p[0]], [p[1], -p[0], 0]], atol=1e-15)
    second = transform(rg.hessian(lambda v: np.sum(rotated(v, p))))(np.zeros(3))
    assert np.all(np.isfinite(second))


def fixed_point(a, b):
    """x = tanh(a x + b), by iterations."""

    def again(x):
        return np.tanh(a @ x + b)

    return rg.while_loop(lambda x: np.max(np.abs(again(x) - x)) > 1e-14, again, b * 0.0, max_steps=500)


@rg.custom_pullback
def implicit(a, b):
    return fixed_point(a, b)


@implicit.def_pullback
def _(ct, x, a, b):
    """w' = ct' + w' D A with D = diag(1 - x**2), again by iterations; then db = D w, dA = D w x'."""
    slope = 1 - x**2

    def again(w):
        return ct + a.T @ (slope * w)

    w = rg.while_loop(lambda w: np.max(np.abs(again(w) - w)) > 1e-14, again, ct, max_steps=500)
    db = slope * w
    return np.outer(db, x), db


@both
def test_a_fixed_point_by_the_implicit_function_theorem(transform):
    a, b, c = 0.3 * RNG.normal(size=(4, 4)), RNG.normal(size=4), RNG.normal(size=4)
    x = fixed_point(a, b)
    D = np.diag(1 - x**2)
    w = np.linalg.solve(np.eye(4) - a.T @ D, c)
    da, db = transform(rg.grad(lambda a, b: c @ implicit(a, b), (0, 1)))(a, b)
    np.testing.assert_allclose(db, D @ w, rtol=1e-9)
    np.testing.assert_allclose(da, np.outer(D @ w, x), rtol=1e-9)
    through = transform(rg.grad(lambda a, b: c @ fixed_point(a, b), (0, 1)))(a, b)
    np.testing.assert_allclose(through[0], da, rtol=1e-6, atol=1e-9)
    many = RNG.normal(size=(3, 4))
    lanes = transform(rg.vmap(rg.grad(lambda b: c @ implicit(a, b))))(many)
    for b, found in zip(many, lanes):
        np.testing.assert_allclose(found, rg.grad(lambda b: c @ fixed_point(a, b))(b), rtol=1e-6, atol=1e-9)
