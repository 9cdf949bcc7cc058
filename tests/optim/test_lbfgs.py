"""L-BFGS and its line search against SciPy's and PyTorch's: the same minima in about as many evaluations."""

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, optim
from retrograde.errors import ModelError
from retrograde.optim.line_search import C1, C2, line_search

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 4))
LABELS = (X @ np.array([2.0, -1.0, 0.5, 0.0]) + RNG.normal(size=200) > 0) * 2.0 - 1.0


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def logistic(w):
    return np.mean(np.logaddexp(0.0, -LABELS.astype(w.dtype) * (X.astype(w.dtype) @ w))) + 1e-3 * np.sum(w**2)


PROBLEMS = {"rosenbrock": (rosenbrock, np.tile([-1.2, 1.0], 3)), "logistic": (logistic, np.zeros(4))}


def scipys(f, start):
    from scipy.optimize import minimize

    return minimize(rg.value_and_grad(f), start, jac=True, method="L-BFGS-B", options={"gtol": 1e-7, "ftol": 0.0})


def torchs(f, start, epochs=1, **settings):
    """The minimum and the evaluations of PyTorch's, whose closure takes value and gradient from us."""
    torch = pytest.importorskip("torch")
    p, calls = torch.tensor(start, requires_grad=True), 0
    optimizer = torch.optim.LBFGS([p], line_search_fn="strong_wolfe", history_size=10, **settings)

    def closure():
        nonlocal calls
        calls += 1
        value, gradient = rg.value_and_grad(f)(p.detach().numpy())
        p.grad = torch.tensor(gradient)
        return torch.tensor(value)

    for _ in range(epochs):
        optimizer.step(closure)
    return p.detach().numpy(), calls


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("compiled", [True, False])
def test_minima_and_evaluations_are_those_of_scipy_and_torch(name, compiled):
    f, start = PROBLEMS[name]
    wanted, (torchs_x, torchs_calls) = scipys(f, start), torchs(f, start, max_iter=500, max_eval=1000, tolerance_change=0.0)
    found = optim.minimize(f, start, optimizer=optim.LBFGS(max_iter=500, tolerance_change=0.0), compiled=compiled)
    assert found.success and found.status == 1 and "gradient" in found.message
    np.testing.assert_allclose(found.x, wanted.x, atol=1e-5)
    np.testing.assert_allclose(found.x, torchs_x, atol=1e-5)
    assert found.nfev <= 1.3 * min(wanted.nfev, torchs_calls) + 2
    assert np.max(np.abs(found.jac)) <= 1e-7 and found.nit < found.nfev
    np.testing.assert_allclose(found.jac, rg.grad(f)(found.x), atol=1e-12)
    assert found.fun == pytest.approx(f(found.x), abs=1e-15)


@pytest.mark.parametrize("name", PROBLEMS)
def test_single_precision_ends_at_half_its_digits(name):
    f, start = PROBLEMS[name]
    found = optim.minimize(f, start.astype(np.float32))
    assert found.x.dtype == np.float32 and found.nfev <= 1.3 * scipys(f, start).nfev + 2
    np.testing.assert_allclose(found.x, scipys(f, start).x, atol=2e-3)


def test_parameters_may_be_any_tree_and_complex_and_a_loss_may_take_arguments():
    def f(p, target):
        return np.abs(p["z"] - target) ** 2 + np.sum((p["b"][0] - 3.0) ** 2) + (p["b"][1] + 1.0) ** 2

    found = optim.minimize(f, {"z": 1j, "b": (np.zeros((2, 3)), 0.5)}, (1 + 2j,))
    assert found.x["z"] == pytest.approx(1 + 2j) and found.x["b"][1] == pytest.approx(-1.0)
    np.testing.assert_allclose(found.x["b"][0], 3.0)
    assert found.jac["z"].dtype == np.complex128 and found.x["b"][0].shape == (2, 3)


def test_steps_meet_the_strong_wolfe_conditions():
    phi = rg.value_and_grad(lambda x: np.sum(np.cos(3.0 * x) + 0.1 * x**2))
    for first in (1e-4, 0.3, 50.0):
        x = np.array([0.3, -0.4])
        value, gradient = phi(x)
        end, count = line_search(lambda t: phi(x - t * gradient), value, gradient, -gradient, np.float64(first))  # noqa: B023
        slope = -np.sum(gradient**2)
        there, after = phi(x - end["t"] * gradient)
        assert 0 < count <= 25 and end["value"] == there <= value + C1 * end["t"] * slope
        assert abs(np.sum(after * -gradient)) <= C2 * abs(slope)


def test_it_keeps_out_of_where_the_function_is_not_finite():
    def barrier(x):
        return np.sum(x - np.log(np.where(x > 0, x, np.nan)))

    found = optim.minimize(barrier, np.array([5.0, 0.01]))
    np.testing.assert_allclose(found.x, 1.0, atol=1e-5)
    wrong = optim.minimize(lambda x: np.sum(x * np.nan), np.ones(2))
    assert not wrong.success and "no lower value" in wrong.message
    np.testing.assert_array_equal(wrong.x, 1.0)
    endless = optim.minimize(np.sum, np.ones(2))
    assert not endless.success and np.all(np.isfinite(endless.x))


def test_a_wrong_gradient_is_told():
    @rg.custom_pullback
    def uphill(x):
        return np.sum(x**2)

    uphill.def_pullback(lambda ct, y, x: (-2.0 * ct * x,))
    found = optim.minimize(uphill, np.ones(2))
    assert not found.success and found.fun == 2.0 and "may be wrong" in found.message


def network():
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)).init(0, np.float64)


def test_a_network_is_fitted_as_torchs_is():
    torch = pytest.importorskip("torch")
    y = np.sin(X @ np.array([[1.0], [0.5], [-1.0], [0.0]]))
    run = rg.fit(network(), (X, y), optimizer=optim.LBFGS(), batch_size=None, epochs=5)
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 1)).double()
    theirs.load_state_dict({name: torch.tensor(value) for name, value in nn.state_dict(network()).items()})
    optimizer, losses = torch.optim.LBFGS(theirs.parameters(), line_search_fn="strong_wolfe", history_size=10), []

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(theirs(torch.tensor(X)), torch.tensor(y))
        loss.backward()
        return loss

    for _ in range(5):
        losses.append(optimizer.step(closure).item())
    np.testing.assert_allclose(run.history["loss"][:1], losses[:1], rtol=1e-9)
    # beyond some steps the two line searches go ways of their own
    assert np.all(run.history["loss"] <= 2 * np.array(losses)) and run.history["loss"][-1] < 0.02 * losses[0]
    assert run.optimizer_state["iterations"] <= 100 and run.optimizer_state["evaluations"] <= 140


def test_runs_are_one_program_resume_and_stay_in_single_precision(tmp_path):
    y = np.sin(X[:, :1])
    settings = {"optimizer": optim.LBFGS(max_iter=5, history_size=4), "batch_size": None, "validation": (X[:50], y[:50])}
    whole = rg.fit(nn.Linear(4, 1), (X, y), epochs=4, **settings)
    assert whole.model.weight.dtype == np.float32 and np.all(np.diff(whole.history["loss"]) <= 1e-6)
    rg.fit(nn.Linear(4, 1), (X, y), epochs=2, **settings).save(tmp_path / "run.safetensors")
    resumed = rg.fit(nn.Linear(4, 1), (X, y), epochs=4, resume=tmp_path / "run.safetensors", **settings)
    np.testing.assert_array_equal(resumed.model.weight, whole.model.weight)
    eager = rg.fit(nn.Linear(4, 1), (X, y), epochs=4, compiled=False, **settings)
    np.testing.assert_allclose(eager.model.weight, whole.model.weight, atol=1e-3)


def test_what_does_not_fit_is_said():
    with pytest.raises(ModelError, match="batch_size=None; it is 32, of 200 points"):
        rg.fit(nn.Linear(4, 1), (X, X[:, :1]), optimizer="lbfgs")
    with pytest.raises(ModelError, match="finds its own steps"):
        optim.Clipped(optim.LBFGS(), max_norm=1.0)
    with pytest.raises(ModelError, match="objective=f"):
        optim.LBFGS().update(np.ones(2), optim.LBFGS().init(np.ones(2)), np.ones(2))
    assert optim.minimize(logistic, np.zeros(4), optimizer=optim.LBFGS(max_iter=1)).nit == 1
    for name, wrong in [
        ("max_iter", "5"), ("max_iter", 1.5), ("history_size", 0), ("max_eval", 1), ("tolerance_grad", -1.0), ("lr", "fast")
    ]:  # fmt: skip
        with pytest.raises(ModelError, match=name):
            optim.LBFGS(**{name: wrong})
    with pytest.raises(ModelError, match="float array"):
        optim.minimize(rosenbrock, np.arange(4))
    with pytest.raises(ModelError, match="no parameters"):
        optim.minimize(lambda p: 0.0, ())
    with pytest.raises(ModelError, match="takes an LBFGS"):
        optim.minimize(rosenbrock, np.ones(4), optimizer=optim.Adam())
