"""Optimizers, schedules, clipping and averages step by step against PyTorch and optax."""

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, optim
from retrograde.errors import ModelError
from retrograde.optim import schedules
from retrograde.tree import tree_map

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)
START = [RNG.normal(size=(3, 2)), RNG.normal(size=4)]
GRADS = [[RNG.normal(size=(3, 2)) * 10.0 ** RNG.integers(-2, 2), RNG.normal(size=4)] for _ in range(12)]

CASES = [
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.1}),
    ("Adam", {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.1, "amsgrad": True}), ("AdamW", {"lr": 0.1, "amsgrad": True}),
    ("NAdam", {}), ("NAdam", {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.1, "momentum_decay": 0.1}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {}), ("RAdam", {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.1}),
    ("Adamax", {}), ("Adamax", {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.1, "eps": 1e-3}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.2, "initial_accumulator_value": 0.5}),
    ("Adadelta", {}), ("Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-3, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.1}), ("RMSprop", {"lr": 0.1, "centered": True, "momentum": 0.5, "weight_decay": 0.1}),
]  # fmt: skip
OPTAX = [
    (optim.Lion(0.1), lambda o: o.lion(0.1, weight_decay=0.0)),
    (optim.Lion(0.1, (0.8, 0.9), weight_decay=0.1), lambda o: o.lion(0.1, 0.8, 0.9, weight_decay=0.1)),
    (optim.LAMB(0.1), lambda o: o.lamb(0.1)),
    (optim.LAMB(0.1, (0.8, 0.9), weight_decay=0.1), lambda o: o.lamb(0.1, 0.8, 0.9, weight_decay=0.1)),
]
both = pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])


def ours(optimizer, transform=lambda f: f, dtype=np.float64, grads=GRADS):
    """The parameters after each step, and the last state."""
    params = [p.astype(dtype) for p in START]
    state, update, seen = optimizer.init(params), transform(optimizer.update), []
    for g in grads:
        params, state = update([a.astype(dtype) for a in g], state, params)
        seen.append(params)
    return seen, state


def torchs(make, before=lambda params: None, after=lambda params: None):
    params = [torch.nn.Parameter(torch.tensor(p)) for p in START]
    optimizer, seen = make(params), []
    for g in GRADS:
        for p, a in zip(params, g):
            p.grad = torch.tensor(a)
        before(params)
        optimizer.step()
        after(params)
        seen.append([p.detach().numpy().copy() for p in params])
    return seen


def close_to(name):
    """PyTorch's NAdam keeps its product of momenta in float32."""
    return 1e-7 if name == "NAdam" else 1e-12


def same(a, b, atol=1e-12):
    for x, y in zip(a, b):
        for u, v in zip(x, y):
            np.testing.assert_allclose(u, v, rtol=1e-9, atol=atol)


@both
@pytest.mark.parametrize("name, settings", CASES, ids=str)
def test_steps_are_torchs(name, settings, transform):
    wanted = torchs(lambda params: getattr(torch.optim, name)(params, **settings))
    same(ours(getattr(optim, name)(**settings), transform)[0], wanted, close_to(name))
    single = ours(getattr(optim, name)(**settings), transform, np.float32)[0]
    assert all(p.dtype == np.float32 for p in single[-1])
    for a, b in zip(single[-1], wanted[-1]):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@both
@pytest.mark.parametrize("settings", [{}, {"lr": 0.3, "etas": (0.3, 2.0), "step_sizes": (0.2, 1.0)}], ids=str)
def test_rprop_is_torchs(settings, transform):
    same(ours(optim.Rprop(**settings), transform)[0], torchs(lambda params: torch.optim.Rprop(params, **settings)))
    assert ours(optim.Rprop(**settings), transform, np.float32)[0][-1][0].dtype == np.float32
    z = [p * (1 + 2j) for p in START]
    found, state = optim.Rprop().update(z, optim.Rprop().init(z), z)
    np.testing.assert_allclose(found[0], z[0] - 0.01 * (np.sign(z[0].real) + 1j * np.sign(z[0].imag)))
    assert state["size"][0].dtype == np.complex128


def test_restarts_are_at_their_steps_for_long():
    schedule, start = schedules.CosineAnnealingWarmRestarts(0.1, 3, 2), 0
    for n in range(28):
        start += 3 * 2**n
        last = 0.05 * (1 - np.cos(np.pi / (3 * 2**n)))
        np.testing.assert_allclose([schedule(start - 1), schedule(start)], [last, 0.1], rtol=1e-6, atol=1e-12)


@both
@pytest.mark.parametrize("optimizer, make", OPTAX, ids=lambda v: repr(v)[:60])
def test_steps_are_optaxs(optimizer, make, transform):
    optax = pytest.importorskip("optax")
    params = [p.astype(np.float32) for p in START]
    theirs, seen = make(optax), []
    state = theirs.init(params)
    for g in GRADS:
        updates, state = theirs.update([a.astype(np.float32) for a in g], state, params)
        params = optax.apply_updates(params, updates)
        seen.append([np.asarray(p) for p in params])
    for p, q in zip(ours(optimizer, transform, np.float32)[0], seen):
        for u, v in zip(p, q):
            assert u.dtype == np.float32
            np.testing.assert_allclose(u, v, rtol=1e-5, atol=1e-5)


def test_lamb_leaves_arrays_of_zeros_free_to_move():
    zero = [np.zeros(3)]
    params, _ = optim.LAMB(0.1).update([np.ones(3)], optim.LAMB().init(zero), zero)
    np.testing.assert_allclose(params[0], -0.1, rtol=1e-5)
    params, _ = optim.LAMB(0.1).update(zero, optim.LAMB().init([np.ones(3)]), [np.ones(3)])
    np.testing.assert_array_equal(params[0], 1.0)


SCHEDULES = [
    (schedules.StepLR(0.1, 3, 0.5), lambda s, o: s.StepLR(o, 3, 0.5)),
    (schedules.MultiStepLR(0.1, (2, 5), 0.5), lambda s, o: s.MultiStepLR(o, [2, 5], 0.5)),
    (schedules.ExponentialLR(0.1, 0.9), lambda s, o: s.ExponentialLR(o, 0.9)),
    (schedules.LinearLR(0.1, 0.2, 0.9, 4), lambda s, o: s.LinearLR(o, 0.2, 0.9, 4)),
    (schedules.ConstantLR(0.1, 0.2, 4), lambda s, o: s.ConstantLR(o, 0.2, 4)),
    (schedules.InverseSqrtLR(0.1, 4), lambda s, o: s.LambdaLR(o, lambda i: min((i + 1) / 4, (4 / (i + 1)) ** 0.5))),
    (schedules.CosineAnnealingWarmRestarts(0.1, 5, 1, 0.01), lambda s, o: s.CosineAnnealingWarmRestarts(o, 5, 1, 0.01)),
    (schedules.CosineAnnealingWarmRestarts(0.1, 1, 2), lambda s, o: s.CosineAnnealingWarmRestarts(o, 1, 2)),
    (schedules.CosineAnnealingWarmRestarts(0.1, 2, 3, 0.01), lambda s, o: s.CosineAnnealingWarmRestarts(o, 2, 3, 0.01)),
    (schedules.CyclicLR(0.1, 0.5, 3), lambda s, o: s.CyclicLR(o, 0.1, 0.5, 3, cycle_momentum=False)),
    (schedules.CyclicLR(0.1, 0.5, 2, 3, "triangular2"),
     lambda s, o: s.CyclicLR(o, 0.1, 0.5, 2, 3, "triangular2", cycle_momentum=False)),
    (schedules.CyclicLR(0.1, 0.5, 2, 1, "exp_range", 0.9),
     lambda s, o: s.CyclicLR(o, 0.1, 0.5, 2, 1, "exp_range", 0.9, cycle_momentum=False)),
    (schedules.PolynomialLR(0.1, 8, 2.0), lambda s, o: s.PolynomialLR(o, 8, 2.0)),
    (schedules.CosineAnnealingLR(0.1, 12, 0.01), lambda s, o: s.CosineAnnealingLR(o, 12, 0.01)),
    (schedules.OneCycleLR(0.5, 12), lambda s, o: s.OneCycleLR(o, 0.5, 12, cycle_momentum=False)),
    (schedules.OneCycleLR(0.5, 12, 0.4, "linear", 10.0, 100.0),
     lambda s, o: s.OneCycleLR(o, 0.5, 12, pct_start=0.4, anneal_strategy="linear", div_factor=10.0, final_div_factor=100.0,
                               cycle_momentum=False)),
    (schedules.SequentialLR((schedules.LinearLR(0.1, 0.1, 1.0, 4), schedules.ExponentialLR(0.1, 0.9)), (4,)),
     lambda s, o: s.SequentialLR(o, [s.LinearLR(o, 0.1, 1.0, 4), s.ExponentialLR(o, 0.9)], [4])),
]  # fmt: skip


@pytest.mark.parametrize("schedule, make", SCHEDULES, ids=lambda v: repr(v)[:40])
@pytest.mark.filterwarnings("ignore:Detected call:UserWarning", "ignore:The epoch parameter")
def test_schedules_are_torchs(schedule, make):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    theirs, rates = make(torch.optim.lr_scheduler, optimizer), []
    for _ in range(12):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step() if len(rates) < 12 else None
    np.testing.assert_allclose([schedule(i) for i in range(12)], rates, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(rg.vmap(schedule)(np.arange(12)), rates, rtol=1e-9, atol=1e-15)
    compiled = rg.jit(schedule)
    np.testing.assert_allclose([compiled(np.int64(i)) for i in range(12)], rates, rtol=1e-9, atol=1e-15)


@both
def test_a_schedule_sets_the_rate_of_any_optimizer(transform):
    schedule = schedules.ExponentialLR(0.1, 0.9)
    for name, settings in CASES:
        settings = settings | {"lr": 0.1}
        later = []

        def make(params, name=name, settings=settings, later=later):
            optimizer = getattr(torch.optim, name)(params, **settings)
            later.append(torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9))
            return optimizer

        wanted = torchs(make, after=lambda params, later=later: later[0].step())
        scheduled = optim.Scheduled(getattr(optim, name)(**settings), schedule)
        same(ours(scheduled, transform)[0], wanted, close_to(name))
        assert ours(scheduled, transform, np.float32)[0][-1][0].dtype == np.float32


@both
def test_clipping_is_torchs(transform):
    norm = torchs(lambda p: torch.optim.SGD(p, 0.1), before=lambda p: torch.nn.utils.clip_grad_norm_(p, 1.5))
    value = torchs(lambda p: torch.optim.SGD(p, 0.1), before=lambda p: torch.nn.utils.clip_grad_value_(p, 0.5))
    same(ours(optim.Clipped(optim.SGD(0.1), max_norm=1.5), transform)[0], norm)
    same(ours(optim.Clipped(optim.SGD(0.1), clip_value=0.5), transform)[0], value)
    small = [np.full(3, 1e-3)]
    np.testing.assert_array_equal(optim.clip_grad_norm(small, 1.0)[0], small[0])


@both
def test_the_average_is_torchs(transform):
    net = torch.nn.ParameterList([torch.nn.Parameter(torch.tensor(p)) for p in START])
    averaged = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for g in GRADS:
        for p, a in zip(net, g):
            p.grad = torch.tensor(a)
        optimizer.step()
        averaged.update_parameters(net)
    state = ours(optim.Averaged(optim.SGD(0.1), 0.9), transform)[1]
    for a, b in zip(state["average"], averaged.module):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-10)


def test_all_of_it_in_a_compiled_run_and_eagerly():
    x = RNG.normal(size=(64, 4))
    y = x @ np.array([[1.0], [-2.0], [0.5], [3.0]])
    schedule = schedules.SequentialLR((schedules.LinearLR(0.2), schedules.CosineAnnealingLR(0.2, 100)), (5,))
    optimizer = optim.Averaged(optim.Clipped(optim.Scheduled(optim.NAdam(), schedule), max_norm=5.0), 0.9)
    runs = [rg.fit(nn.Linear(4, 1), (x, y), epochs=25, batch_size=16, optimizer=optimizer, compiled=c) for c in (True, False)]
    np.testing.assert_allclose(runs[0].history["loss"], runs[1].history["loss"], rtol=1e-3)
    assert runs[0].history["loss"][-1] < 0.1 * runs[0].history["loss"][0]
    average = runs[0].optimizer_state["average"]
    assert type(average) is nn.Linear and average(x.astype(np.float32)).shape == (64, 1)


@pytest.mark.parametrize("optimizer", [o for o, _ in OPTAX] + [optim.NAdam(), optim.RAdam(), optim.Adamax(), optim.Adadelta()])
def test_complex_parameters_stay_complex(optimizer):
    params = tree_map(lambda p: p * (1 + 2j), START)
    found, _ = optimizer.update(tree_map(lambda p: p * (1 - 1j), START), optimizer.init(params), params)
    assert all(p.dtype == np.complex128 and np.all(np.isfinite(p)) for p in found)


def test_settings_that_do_not_fit():
    for make, said in [
        (lambda: optim.NAdam(momentum_decay=-1), "momentum_decay"), (lambda: optim.Adadelta(rho=1.0), "rho"),
        (lambda: optim.Lion(betas=0.9), "betas"), (lambda: optim.Clipped(optim.SGD(), max_norm=-1), "max_norm"),
        (lambda: optim.Averaged(optim.SGD(), 1.0), "decay"), (lambda: optim.Scheduled(optim.SGD(), 0.1), "function of the step"),
        (lambda: optim.Scheduled(optim.Clipped(optim.SGD()), schedules.StepLR(1.0, 2)), "has no lr"),
        (lambda: optim.Rprop(etas=0.5), "etas is a pair"), (lambda: optim.Rprop(etas=(0.5, 0.9)), "above 1"),
        (lambda: optim.Scheduled(optim.Rprop(), schedules.StepLR(1.0, 2)), "finds its own sizes"),
        (lambda: schedules.CyclicLR(0.1, 0.2, mode="square"), "mode is"), (lambda: schedules.CyclicLR(0.1, 0.2, 3, 0), "down"),
        (lambda: schedules.StepLR(0.1, 0), "step_size"), (lambda: schedules.OneCycleLR(0.1, 10, 0.01), "no way up"),
        (lambda: schedules.SequentialLR((schedules.StepLR(1.0, 2),), (3,)), "milestones"),
    ]:  # fmt: skip
        with pytest.raises(ModelError, match=said):
            make()
    assert optim.get_optimizer("lion", 0.5) == optim.Lion(0.5)
