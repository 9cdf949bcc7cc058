"""Layers, losses and initializers against formulas written out."""

import math

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn
from retrograde.errors import ModelError, ModelFileError
from retrograde.nn import losses
from retrograde.nn.initializers import INITIALIZERS
from retrograde.tree import tree_leaves, tree_map

X = np.linspace(-3, 3, 13).reshape(1, 13)
ACTIVATIONS = [
    (nn.ReLU(), lambda x: np.where(x > 0, x, 0)),
    (nn.LeakyReLU(0.2), lambda x: np.where(x > 0, x, 0.2 * x)),
    (nn.ELU(1.5), lambda x: np.where(x > 0, x, 1.5 * (np.exp(x) - 1))),
    (nn.GELU(), lambda x: x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))),
    (nn.SiLU(), lambda x: x / (1 + np.exp(-x))),
    (nn.Tanh(), lambda x: np.sinh(x) / np.cosh(x)),
    (nn.Sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
    (nn.Softplus(2.0), lambda x: np.log(1 + np.exp(2 * x)) / 2),
    (nn.Softmax(), lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
    (nn.Identity(), lambda x: x),
    (nn.GELU("tanh"), lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
]


@pytest.mark.parametrize("layer, formula", ACTIVATIONS, ids=lambda v: type(v).__name__)
def test_activation_is_its_formula_and_differentiates(layer, formula):
    np.testing.assert_allclose(layer(X), formula(X), rtol=1e-12, atol=1e-15)
    g = rg.grad(lambda x: np.sum(layer(x) * np.cos(x)))(X + 0.01)
    step = 1e-6
    value = lambda x: layer(x) * np.cos(x)  # noqa: E731
    if not isinstance(layer, nn.Softmax):
        np.testing.assert_allclose(g, (value(X + 0.01 + step) - value(X + 0.01 - step)) / (2 * step), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(rg.jit(layer)(X), formula(X), rtol=1e-12, atol=1e-15)


def test_linear_and_sequential():
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2, bias=False)).init(3, np.float64)
    x = np.random.default_rng(0).normal(size=(5, 3))
    by_hand = np.maximum(x @ net[0].weight.T + net[0].bias, 0) @ net[2].weight.T
    np.testing.assert_allclose(net(x), by_hand)
    assert net.num_parameters == 3 * 4 + 4 + 4 * 2
    assert [leaf.dtype for leaf in tree_leaves(net)] == [np.float64] * 3
    assert type(tree_map(lambda a: a * 2, net)) is nn.Sequential
    assert len(net) == 3 and "(0): Linear(3, 4)\n" in repr(net)


def test_a_layer_is_shown_as_the_call_that_makes_it():
    layers = [
        "Linear(3, 4)", "Linear(3, 4, bias=False, init='he_normal')", "Conv2d(1, 8, 3, padding='same')",
        "Conv2d(1, 8, (3, 5), stride=2)", "AdaptiveAvgPool2d((1, 2))", "Dropout()", "Dropout(p=0.25)", "LayerNorm((3, 4))",
        "GRU(1, 8, batch_first=True)", "Threshold(0.1, 20.0)", "TransformerEncoderLayer(8, 2, activation=Mish())",
    ]  # fmt: skip
    assert [repr(eval(f"nn.{text}".replace("=Mish", "=nn.Mish"))) for text in layers] == layers


def test_containers_are_shown_one_layer_a_line():
    both = nn.Parallel(nn.Linear(4, 2), nn.Sequential(nn.Tanh(), nn.Linear(4, 2)), combine="sum")
    assert repr(nn.Sequential(both, nn.Residual(nn.ReLU()), nn.Sequential())) == """\
Sequential(
  (0): Parallel(
    (0): Linear(4, 2)
    (1): Sequential(
      (0): Tanh()
      (1): Linear(4, 2)
    )
    combine='sum'
  )
  (1): Residual(
    (0): ReLU()
  )
  (2): Sequential()
)"""


def test_a_module_of_ones_own_can_be_shown_whatever_it_keeps():
    class Head(nn.Module):
        dynamic = ("inner",)

        def __init__(self, width):
            self.inner = nn.Linear(width, 1)

    assert repr(Head(3)) == "Head(...)"


def test_same_seed_same_bits_and_a_longer_net_begins_alike():
    short, long = nn.Sequential(nn.Linear(3, 3)), nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    assert np.array_equal(short.init(1)[0].weight, long.init(1)[0].weight)
    assert not np.array_equal(long.init(1)[0].weight, long.init(1)[1].weight)
    assert not np.array_equal(short.init(1)[0].weight, short.init(2)[0].weight)


@pytest.mark.parametrize("shape", [(200, 300), (64, 32, 3, 3)], ids=["matrix", "kernel"])
@pytest.mark.parametrize("name", sorted(INITIALIZERS))
def test_an_initializer_has_the_variance_of_its_paper(name, shape):
    kind, _, noise = name.partition("_")
    fan_in, fan_out = np.prod(shape[1:]), shape[0] * np.prod(shape[2:])
    w = INITIALIZERS[name](np.random.default_rng(0), shape, 1.5)
    assert w.shape == shape
    if name == "zeros":
        assert not w.any()
    elif name == "orthogonal":
        rows = w.reshape(shape[0], -1)
        np.testing.assert_allclose(rows @ rows.T, 1.5**2 * np.eye(shape[0]), atol=1e-10)
    else:
        variance = {"he": 1.5**2 / fan_in, "glorot": 1.5**2 * 2 / (fan_in + fan_out), "lecun": 1 / fan_in}[kind]
        np.testing.assert_allclose(w.var(), variance, rtol=0.03)
        assert abs(w.mean()) < 0.02 * np.sqrt(variance)
        farthest = np.abs(w).max() / np.sqrt(variance)
        assert farthest > 3 if noise == "normal" else 1.7 < farthest <= np.sqrt(3)


def test_initializer_suits_the_activation_that_follows():
    net = nn.Sequential(nn.Linear(400, 300), nn.ReLU(), nn.Linear(300, 200), nn.Tanh(), nn.Linear(200, 100)).init(0)
    assert np.std(net[0].weight) == pytest.approx(math.sqrt(2 / 400), rel=0.02)
    assert np.std(net[2].weight) == pytest.approx(5 / 3 * math.sqrt(2 / 500), rel=0.02)
    assert np.std(net[4].weight) == pytest.approx(math.sqrt(2 / 300), rel=0.02)
    q = nn.Linear(6, 4, init="orthogonal").init(0, np.float64).weight
    np.testing.assert_allclose(q @ q.T, np.eye(4), atol=1e-12)


def test_dropout_only_in_training():
    layer, x = nn.Dropout(0.25), np.ones((200, 200), np.float32)
    assert np.array_equal(layer(x), x)
    y = layer(x, key=rg.random.key(1))
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert np.mean(y == 0) == pytest.approx(0.25, abs=0.01)
    assert np.array_equal(rg.jit(lambda x, key: layer(x, key=key))(x, rg.random.key(1)), y)


@pytest.mark.parametrize("transform", [lambda f: f, rg.jit], ids=["eager", "jit"])
def test_a_mask_that_is_drawn_once_more_is_the_same_and_is_not_held(transform):
    x, key = np.linspace(-1, 1, 600, dtype=np.float32).reshape(20, 30), rg.random.key(1)
    held, again = nn.Dropout(0.25), nn.Dropout(0.25, recompute=True)
    assert repr(again) == "Dropout(p=0.25, recompute=True)" and nn.from_config(again.config()).recompute

    def loss(layer):
        return lambda x, key: np.sum(np.square(layer(np.sin(x), key=key)))

    for f in (lambda g: g, rg.grad):
        assert np.array_equal(*(transform(f(loss(layer)))(x, key) for layer in (held, again)))
    nets = [nn.Sequential(nn.Linear(30, 8), layer, nn.Linear(8, 1)) for layer in (held, again)]
    runs = [rg.fit(net, (x, x[:, :1]), epochs=2, batch_size=10) for net in nets]
    assert runs[0].held_bytes - runs[1].held_bytes == 10 * 8 - key.nbytes
    np.testing.assert_allclose(runs[0].history["loss"], runs[1].history["loss"], rtol=1e-6)


def test_uninitialized_and_wrong_input_say_so():
    with pytest.raises(ModelError, match=r"net\.init\(seed\)"):
        nn.Linear(2, 2)(np.ones((1, 2)))
    with pytest.raises(ModelError, match="last axis is 2"):
        nn.Linear(2, 2).init(0)(np.ones((1, 3)))
    for bad in (lambda: nn.Linear(0, 1), lambda: nn.Dropout(1.0), lambda: nn.Linear(1, 1, init="nope"), lambda: nn.Sequential(1)):
        with pytest.raises(ModelError):
            bad()


def test_config_round_trip_and_unknown_layers():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, init="orthogonal"), nn.LeakyReLU(0.3), nn.Dropout(0.1), nn.GELU("tanh"))
    again = nn.from_config(net.config())
    assert repr(again) == repr(net)
    for bad in ({"type": "System"}, {"type": "Linear", "in_features": -1, "out_features": 1}, {"type": "Linear"}, 3):
        with pytest.raises(ModelFileError):
            nn.from_config(bad)


Z, T = np.array([[0.5, -1.0, 2.0], [1.0, 0.0, -3.0]]), np.array([2, 0])


@pytest.mark.parametrize(
    "loss, prediction, target, expected",
    [
        (losses.mse, Z, Z + 2, 4.0),
        (losses.mae, Z, Z - 2, 2.0),
        (losses.huber, np.array([0.5, 3.0]), np.zeros(2), (0.125 + 2.5) / 2),
        (losses.binary_cross_entropy, np.array([800.0, -800.0, 0.0]), np.array([1.0, 0.0, 0.5]), math.log(2) / 3),
        (losses.cross_entropy, Z, T, -np.mean([np.log(np.exp(z[t]) / np.exp(z).sum()) for z, t in zip(Z, T)])),
        (losses.cross_entropy, Z, np.eye(3)[T], -np.mean([np.log(np.exp(z[t]) / np.exp(z).sum()) for z, t in zip(Z, T)])),
        (losses.cross_entropy, Z * 1e4, T, (0.0 + 0.0) / 2),
        (losses.hinge, np.array([0.5, -2.0]), np.array([1.0, -1.0]), 0.25),
        (losses.poisson, np.array([0.0, 1.0]), np.array([1.0, 2.0]), (1 + math.e - 2) / 2),
    ],
)
def test_loss_values(loss, prediction, target, expected):
    assert loss(prediction, target) == pytest.approx(expected, abs=1e-12)
    weighted = loss(prediction, target, sample_weight=np.full(len(prediction), 3.0))
    assert weighted == pytest.approx(expected, abs=1e-12)
    assert rg.jit(loss)(prediction, target) == pytest.approx(expected, abs=1e-12)


def test_losses_never_broadcast_silently():
    with pytest.raises(ModelError, match=r"\(4, 1\).*\(4,\)"):
        losses.mse(np.ones((4, 1)), np.ones(4))
    with pytest.raises(ModelError, match="did you mean 'cross_entropy'"):
        losses.get_loss("crossentropy")


def test_elu_is_smooth_at_zero():
    zero = np.zeros(2)
    for transform in (lambda f: f, rg.jit):
        np.testing.assert_array_equal(transform(rg.grad(lambda x: np.sum(nn.ELU()(x))))(zero), [1.0, 1.0])
        np.testing.assert_array_equal(transform(rg.grad(lambda x: np.sum(nn.ELU(0.5)(x))))(zero), [0.5, 0.5])
    far = np.array([1e3, -1e3])
    np.testing.assert_array_equal(rg.grad(lambda x: np.sum(nn.ELU()(x)))(far), [1.0, 0.0])


def test_weights_and_labels_that_do_not_belong_are_refused():
    for weight in (2.0, np.ones(3), np.ones((2, 1))):
        with pytest.raises(ModelError, match="one number a point"):
            losses.mse(Z, Z, sample_weight=weight)
    for labels in ([2, -1], [3, 0]):
        with pytest.raises(ModelError, match="0 to 2"):
            losses.cross_entropy(Z, np.array(labels))
    assert losses.cross_entropy(Z, [2, 0]) == losses.cross_entropy(Z, T)


def test_initializers_look_through_what_only_passes_values_on():
    he, none = math.sqrt(2 / 400), math.sqrt(1 / 400)
    behind = [nn.Dropout(0.5), nn.Identity(), nn.Flatten()]
    for rest in ([*behind, nn.ReLU()], [nn.Sequential(nn.Dropout(), nn.ReLU(), nn.Linear(400, 2))], [nn.Sequential(), nn.ReLU()]):
        assert np.std(nn.Sequential(nn.Linear(400, 400), *rest).init(0)[0].weight) == pytest.approx(he, rel=0.02)
    inner = nn.Sequential(nn.Sequential(nn.Linear(400, 400)), nn.Dropout(), nn.ReLU()).init(0)
    assert np.std(inner[0][0].weight) == pytest.approx(he, rel=0.02)
    assert np.std(nn.Sequential(nn.Linear(400, 400), nn.Dropout()).init(0)[0].weight) == pytest.approx(none, rel=0.02)
    lecun = nn.Sequential(nn.Linear(400, 400, init="lecun_normal"), nn.ReLU()).init(0)
    assert np.std(lecun[0].weight) == pytest.approx(none, rel=0.02), "LeCun's variance, whatever follows"


@pytest.mark.parametrize("make, says", [
    (lambda: nn.Sequential(nn.Linear(4, 2), nn.ReLU), "layer 1 is a class, not a module; write ReLU"),
    (lambda: nn.Sequential([nn.Linear(4, 2), nn.ReLU()]), r"layer 0 is a list; .*Sequential\(\*layers\)"),
    (lambda: nn.losses.get_loss(nn.MSELoss), r"MSELoss\(\) instead of MSELoss"),
    (lambda: nn.losses.get_loss("nll"), r"nn.HuberLoss\(\)"),
    (lambda: nn.losses.cross_entropy(np.ones((5, 2)), np.ones((5, 1), int)), r"take y\[:, 0\]"),
    (lambda: nn.Sequential(nn.GRU(3, 4), nn.Linear(4, 1)).init(0)(np.ones((5, 2, 3))), "Linear.*nn.TakeOutput"),
    (lambda: nn.Sequential(nn.GRU(3, 4), nn.LayerNorm(4)).init(0)(np.ones((5, 2, 3))), "LayerNorm.*nn.TakeOutput"),
    (lambda: nn.Sequential(nn.GRU(3, 4), nn.Dropout()).init(0)(np.ones((5, 2, 3))), "Dropout.*nn.TakeOutput"),
])  # fmt: skip
def test_habits_from_elsewhere_are_told_what_to_write(make, says):
    with pytest.raises(ModelError, match=says):
        make()
