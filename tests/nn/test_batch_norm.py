"""BatchNorm against PyTorch's over several updates, its weights loaded; InstanceNorm; where running statistics would be lost."""

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, random
from retrograde.errors import DifferentiationError, LeakedTracerError, ModelError
from retrograde.tree import tree_leaves

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)
KEY = random.key(0)
BATCHES = {
    "BatchNorm1d": [(5, 3), (2, 3), (4, 3, 6), (1, 3, 2)], "BatchNorm2d": [(4, 3, 5, 2), (1, 3, 2, 2), (3, 3, 1, 4)],
    "InstanceNorm1d": [(4, 3, 6)], "InstanceNorm2d": [(2, 3, 4, 5)],
}  # fmt: skip


def both(name, **settings):
    """PyTorch's layer, with numbers that show an exchange, and ours with its state_dict."""
    theirs = getattr(torch.nn, name)(3, **settings).double()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.randn_like(parameter))
    state = {key: value.numpy().copy() for key, value in theirs.state_dict().items()}
    ours = nn.load_state_dict(getattr(nn, name)(3, **settings), state, dtype=np.float64)
    return ours, theirs


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("BatchNorm1d", {}), ("BatchNorm1d", {"momentum": None}), ("BatchNorm1d", {"affine": False, "eps": 0.1, "momentum": 0.5}),
     ("BatchNorm1d", {"track_running_stats": False}), ("BatchNorm2d", {}), ("InstanceNorm1d", {}),
     ("InstanceNorm2d", {"affine": True})],
)  # fmt: skip
def test_updates_values_gradients_and_statistics_are_pytorchs(name, settings):
    ours, theirs = both(name, **settings)
    for shape in BATCHES[name]:
        x, ct = RNG.normal(2.0, 3.0, size=shape), RNG.normal(size=shape)
        for training in (True, False):
            theirs.train(training)
            theirs.zero_grad()
            given = torch.tensor(x, requires_grad=True)
            y = theirs(given)
            (y * torch.tensor(ct)).sum().backward()
            trained, rest = nn.partition(ours)

            def loss(p, x, rest=rest, training=training, ct=ct):
                net = nn.combine(p, rest)
                y, net = net.apply(x, KEY) if training else (net(x), net)
                return np.sum(y * ct), (y, net)

            (_, (found, moved)), (grads, by_x) = rg.value_and_grad(loss, (0, 1), has_aux=True)(trained, x)
            close(found, y.detach().numpy())
            close(by_x, given.grad.numpy())
            for g, p in zip(tree_leaves(grads), theirs.parameters(), strict=True):
                close(g, p.grad.numpy())
            ours = moved
            for key, value in theirs.state_dict().items():
                close(nn.state_dict(ours)[key], value.numpy())


class Outer(nn.Module):
    """A person's own module: it calls the layer as any other, twice."""

    dynamic = ("norm", "linear")

    def __init__(self, call=lambda norm, x, key: norm(x, key=key)):
        self.norm, self.linear, self.call = nn.BatchNorm1d(3), nn.Linear(3, 3), call

    def __call__(self, x, key=None):
        return self.call(self.norm, self.linear(self.call(self.norm, x, key)), key)


def test_modules_of_ones_own_write_nothing_and_a_layer_called_twice_moves_twice():
    net, x = nn.Sequential(Outer(), nn.BatchNorm1d(3)).init(1, np.float64), RNG.normal(size=(6, 3))
    y, moved = net.apply(x, KEY)
    assert moved[0].norm.num_batches_tracked == 2 and moved[1].num_batches_tracked == 1
    theirs = torch.nn.BatchNorm1d(3).double()
    theirs(torch.tensor(net[0].linear(theirs(torch.tensor(x)).detach().numpy())))
    close(moved[0].norm.running_var, theirs.running_var.numpy())
    close(y, net(x, key=KEY))
    assert not np.allclose(y, net(x)) and net[0].norm.num_batches_tracked == 0


def test_one_layer_in_two_places_is_two():
    norm = nn.BatchNorm1d(3).init(0, np.float64)
    _, moved = nn.Sequential(norm, nn.Lambda(np.square), norm).apply(RNG.normal(size=(6, 3)), KEY)
    assert not np.allclose(moved[0].running_mean, moved[2].running_mean)


@pytest.mark.parametrize(
    ("call", "traced"),
    [(lambda norm, x, key: rg.checkpoint(lambda x: norm(x, key=key))(x), True),
     (lambda norm, x, key: rg.scan(lambda c, _: (norm(c, key=key), None), x, length=2)[0], True),
     (lambda norm, x, key: rg.cond(x[0, 0] > 0, lambda x: norm(x, key=key), np.negative, x), True),
     (lambda norm, x, key: rg.vmap(lambda x: norm(x, key=key))(np.stack([x, x]))[0], True),
     (lambda norm, x, key: rg.jit(lambda x: norm(x, key=key))(x), False)],
    ids=["checkpoint", "scan", "cond", "vmap", "jit"],
)  # fmt: skip
def test_statistics_out_of_a_trace_inside_are_an_error(call, traced):
    net, x = Outer(call).init(0), RNG.normal(size=(6, 3)).astype(np.float32)
    value = rg.grad(lambda x: np.sum(net.apply(x, KEY)[0])) if traced else lambda x: net.apply(x, KEY)
    with pytest.raises(LeakedTracerError, match=r"BatchNorm1d.*Call it outside"):
        value(x)


def test_a_layer_that_is_not_part_of_the_network_is_an_error():
    stray = nn.BatchNorm1d(3).init(0)
    net = nn.Sequential(Outer(lambda norm, x, key: stray(x, key=key))).init(0)
    with pytest.raises(ModelError, match="not part of the network"):
        net.apply(np.ones((4, 3), np.float32), KEY)
    assert net(np.ones((4, 3), np.float32), key=KEY).shape == (4, 3)  # nobody asks for its statistics here


def test_bad_settings_and_shapes():
    with pytest.raises(ModelError, match="momentum lies in"):
        nn.BatchNorm1d(3, momentum=2.0)
    with pytest.raises(ModelError, match=r"\(batch, 3, \.\.\.\) of 4 axes"):
        nn.BatchNorm2d(3).init(0)(np.ones((2, 3)))
    with pytest.raises(ModelError, match="no parameters yet"):
        nn.BatchNorm1d(3)(np.ones((2, 3)))
    with pytest.raises(ModelError, match="no single point for the last batch"):  # as PyTorch raises
        nn.BatchNorm1d(3).init(0)(np.ones((1, 3)), key=KEY)
    with pytest.raises(ModelError, match=r"num_batches_tracked is float64.*integers are wanted"):
        nn.load_state_dict(nn.BatchNorm1d(1), {"weight": np.ones(1), "bias": np.ones(1), "running_mean": np.ones(1),
                                               "running_var": np.ones(1), "num_batches_tracked": np.ones(())})  # fmt: skip


def test_saved_and_loaded_with_its_statistics(tmp_path):
    net = nn.Sequential(nn.BatchNorm1d(3, momentum=None), nn.InstanceNorm1d(3)).init(0)
    _, net = net.apply(RNG.normal(size=(6, 3, 2)).astype(np.float32), KEY)
    net.save(tmp_path / "net.safetensors")
    again, _ = rg.load(tmp_path / "net.safetensors")
    assert repr(again) == repr(net) and again[0].num_batches_tracked == 1
    for a, b in zip(tree_leaves(again), tree_leaves(net), strict=True):
        assert a.dtype == b.dtype and np.array_equal(a, b)


def test_a_frozen_statistic_stays():
    net = nn.freeze(nn.BatchNorm1d(3).init(0), "running_var")
    _, moved = net.apply(RNG.normal(size=(6, 3)).astype(np.float32), KEY)
    assert np.all(moved.running_var == 1) and np.all(moved.running_mean != 0)
    x = RNG.normal(size=(6, 3)).astype(np.float32)
    y, same = nn.freeze(net).apply(x, KEY)
    assert np.array_equal(y, net(x)) and np.array_equal(same.running_mean, net.running_mean)


def test_a_gradient_by_a_count_says_what_to_take():
    with pytest.raises(DifferentiationError, match=r"num_batches_tracked.*nn\.partition\(net\)\[0\]"):
        rg.grad(lambda net: np.sum(net(np.ones((2, 3)))))(nn.BatchNorm1d(3).init(0))


def test_only_buffers_are_noted():
    with pytest.raises(ModelError, match=r"no buffer 'weight'; it has \('running_mean'"):
        nn.note(nn.BatchNorm1d(3), weight=np.ones(3))
