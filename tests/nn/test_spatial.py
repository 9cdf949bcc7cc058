"""Networks with convolutions and pooling: trained, saved, on threads, in lanes, given what does not fit."""

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, optim, spatial
from retrograde.errors import ModelError, ShapeError, UnsupportedError
from retrograde.tree import tree_leaves

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(48, 2, 8, 9)).astype(np.float32)
LABELS = (IMAGES[:, 0, 2:6, 2:6].sum((1, 2)) > IMAGES[:, 1, 2:6, 2:6].sum((1, 2))).astype(int)
NET = nn.Sequential(
    nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 4, (2, 3), padding="same", groups=2), nn.Tanh(),
    nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 2),
)  # fmt: skip
LINES = nn.Sequential(
    nn.Flatten(2), nn.Conv1d(2, 4, 5, stride=2), nn.MaxPool1d(3, 2), nn.ReLU(), nn.ConvTranspose1d(4, 2, 3),
    nn.AdaptiveMaxPool1d(1), nn.Flatten(),
)  # fmt: skip


@pytest.fixture(autouse=True)
def default_threads():
    yield
    rg.set_threads(None)


def trained(net, **settings):
    settings = {"epochs": 6, "batch_size": 16, "loss": "cross_entropy", "optimizer": optim.Adam(0.01)} | settings
    return rg.fit(net, (IMAGES, LABELS), **settings)


@pytest.mark.parametrize("net", [NET, LINES], ids=["places", "lines"])
def test_networks_train_and_come_back_from_a_file(net, tmp_path):
    run = trained(net, epochs=12)
    assert run.history["loss"][-1] < 0.9 * run.history["loss"][0]
    run.model.save(tmp_path / "net.safetensors")
    again, _ = rg.load(tmp_path / "net.safetensors")
    assert again.config() == run.model.config() and repr(again) == repr(run.model)
    np.testing.assert_array_equal(again(IMAGES), run.model(IMAGES))


@pytest.mark.parametrize("net", [NET, LINES], ids=["places", "lines"])
def test_eager_and_compiled_runs_are_the_same_program(net):
    runs = [trained(net, epochs=2, compiled=compiled, dtype=np.float64) for compiled in (True, False)]
    np.testing.assert_allclose(*(run.history["loss"] for run in runs), rtol=1e-10)
    for ours, plain in zip(*(tree_leaves(run.model) for run in runs)):
        np.testing.assert_allclose(ours, plain, rtol=1e-8, atol=1e-10)


def test_threads_do_not_change_a_bit():
    x = RNG.normal(size=(13, 3, 20, 14)).astype(np.float32)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 40, 3, stride=2), nn.ReLU(),
        nn.MaxPool2d(3, 1, 1), nn.Conv2d(40, 8, 3, padding=1), nn.Flatten(),
    ).init(0)  # fmt: skip
    f = rg.jit(rg.value_and_grad(lambda net, x: np.sum(np.square(net(x))), argnums=(0, 1)))
    assert f.lower(net, x).sharing
    found = []
    for threads in (1, 2, 3, 7):
        rg.set_threads(threads)
        found.append([leaf.tobytes() for leaf in tree_leaves(f(net, x))])
    assert all(bits == found[0] for bits in found)


def test_many_starts_are_runs_of_their_own():
    many = trained(NET, epochs=2, starts=2, dtype=np.float64)
    assert np.shape(many.history["loss"])[0] == 2 or np.shape(many.history["loss"])[-1] == 2


def test_mixed_precision_trains():
    run = trained(NET, epochs=12, precision="bf16")
    assert run.history["loss"][-1] < 0.9 * run.history["loss"][0]


def test_per_example_gradients_are_those_of_each():
    net = NET.init(0, np.float64)
    x = IMAGES[:3].astype(float)

    def loss(net, x):
        return np.sum(np.cos(net(x[None])))

    together = rg.jit(rg.vmap(rg.grad(loss), in_axes=(None, 0)))(net, x)
    for i in range(3):
        for all_, one in zip(tree_leaves(together), tree_leaves(rg.grad(loss)(net, x[i]))):
            np.testing.assert_allclose(all_[i], one, rtol=1e-9, atol=1e-12)


def test_of_tied_elements_the_first_is_the_largest():
    x = np.zeros((1, 1, 4))
    x[0, 0, 2] = np.nan
    for transform in (lambda f: f, rg.jit):
        pull = transform(rg.grad(lambda x: np.sum(spatial.max_pool(x, 2, axes=1))))
        np.testing.assert_array_equal(pull(x), [[[1, 0, 1, 0]]])
        np.testing.assert_array_equal(transform(lambda x: spatial.max_pool(x, 3, 1, axes=1))(x), [[[np.nan, np.nan]]])


def test_orthogonal_kernels_and_variances():
    drawn = nn.Conv2d(3, 8, 3, init="orthogonal").init(0, np.float64).weight.reshape(8, 27)
    np.testing.assert_allclose(drawn @ drawn.T, np.eye(8), atol=1e-12)
    net = nn.Sequential(nn.Conv2d(16, 64, 5), nn.MaxPool2d(2), nn.ReLU()).init(0)
    assert abs(np.var(net[0].weight) * 16 * 25 / 2 - 1) < 0.05  # as before a ReLU, through the pooling


@pytest.mark.parametrize("layer, shape, said", [
    (nn.Conv2d(3, 4, 3), (2, 4, 8, 8), r"takes arrays \(batch, 3, height, width\); this one has shape \(2, 4, 8, 8\)"),
    (nn.Conv2d(3, 4, 3), (8, 8), "height, width"),
    (nn.Conv1d(3, 4, 5), (2, 3, 4), "does not fit"),
    (nn.ConvTranspose1d(3, 4, 1, padding=2), (2, 3, 4), "nothing is left"),
    (nn.MaxPool2d(5), (2, 3, 4, 8), "do not fit"),
    (nn.AvgPool1d(2), (4,), "length"),
])  # fmt: skip
def test_arrays_that_do_not_fit_are_told(layer, shape, said):
    with pytest.raises(ModelError, match=said):
        layer.init(0)(np.zeros(shape, np.float32))


@pytest.mark.parametrize("make, said", [
    (lambda: nn.Conv2d(3, 4, 3, groups=2), "groups must divide both 3"),
    (lambda: nn.Conv2d(3, 4, (3, 3, 3)), "kernel_size .* 2 of"),
    (lambda: nn.Conv1d(3, 4, 3, padding="full"), '"same", "valid"'),
    (lambda: nn.Conv1d(3, 4, 3, stride=0), "stride must be 1 or"),
    (lambda: nn.Conv2d(3, 4, 3, stride=2, padding="same"), "wants a stride of 1"), (lambda: nn.Conv1d(0, 4, 3), "in_channels"),
    (lambda: nn.Conv2d(3, 4, 3, padding_mode="mirror"), "padding_mode 'mirror'"), (lambda: nn.Conv1d(3, 4, 3, init="x"), "'x'"),
    (lambda: nn.ConvTranspose2d(3, 4, 3, padding_mode="reflect"), "zeros"), (lambda: nn.MaxPool1d(2, padding=2), "half"),
    (lambda: nn.MaxPool2d(2.5), "integer"), (lambda: nn.AdaptiveAvgPool2d((1, 2, 3)), "2 of them"),
    (lambda: nn.AvgPool2d(2, divisor_override=0), "divisor_override"),
])  # fmt: skip
def test_settings_that_cannot_be_are_told(make, said):
    with pytest.raises(ModelError, match=said):
        make()


def test_functions_tell_what_they_want():
    x, w = np.zeros((2, 3, 8)), np.zeros((4, 3, 3))
    with pytest.raises(ShapeError, match="groups=2"):
        spatial.convolve(x, w, groups=2)
    with pytest.raises(ShapeError, match="output_padding"):
        spatial.convolve_transpose(x, w[:3], output_padding=1)
    with pytest.raises(UnsupportedError, match="float32"):
        spatial.max_pool(np.zeros((2, 3, 8), int), 2, axes=1)
    with pytest.raises(ValueError, match="padding_mode"):
        spatial.convolve(x, w, padding_mode="mirror")
