"""The PyTorch code that comes with an exported network: run, it gives the same outputs."""

import json
import warnings

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn
from retrograde.errors import ModelError, UnsupportedError
from retrograde.tree import tree_leaves, tree_map

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def drawn(net):
    """The network with numbers that hide no exchange; those of counts stay."""
    def other(a):
        return a if a.dtype.kind != "f" else 0.4 * normal(*a.shape) if a.ndim > 1 else np.abs(normal(*a.shape)) + 0.1

    return tree_map(other, net.init(0))


ACTIVATIONS = nn.Parallel(
    nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(0.2), nn.PReLU(6), nn.ELU(1.5), nn.CELU(0.75), nn.SELU(), nn.GELU(), nn.GELU("tanh"),
    nn.SiLU(), nn.Mish(), nn.Softplus(2.0, 3.0), nn.Softsign(), nn.Tanh(), nn.Tanhshrink(), nn.Sigmoid(), nn.LogSigmoid(),
    nn.Hardtanh(-0.5, 1.5), nn.Hardswish(), nn.Hardsigmoid(), nn.Hardshrink(0.4), nn.Softshrink(0.4), nn.Threshold(0.3, -2.0),
    nn.Softmax(-1), nn.Softmin(1), nn.LogSoftmax(1), nn.GLU(), nn.Identity(),
)  # fmt: skip
LAYERS = {
    "activations": (ACTIVATIONS, (3, 6)),
    "images": (nn.Sequential(
        nn.Conv2d(2, 4, (3, 2), padding=1, stride=(1, 2), init="he_normal"), nn.BatchNorm2d(4, momentum=None),
        nn.MaxPool2d(2, padding=1), nn.GroupNorm(2, 4),
        nn.ConvTranspose2d(4, 2, 3, stride=2, output_padding=1, groups=2), nn.InstanceNorm2d(2, affine=True),
        nn.AvgPool2d(3, 1, padding=1, count_include_pad=False), nn.AdaptiveMaxPool2d((6, 5)), nn.AdaptiveAvgPool2d(3),
        nn.Flatten(), nn.Dropout(0.3), nn.GaussianNoise(0.1), nn.Linear(18, 4, bias=False), nn.RMSNorm(4),
    ), (2, 2, 9, 8)),
    "signals": (nn.Sequential(
        nn.Conv1d(3, 4, 3, padding="same", dilation=2, padding_mode="circular"), nn.MaxPool1d(2, ceil_mode=True),
        nn.BatchNorm1d(4), nn.ConvTranspose1d(4, 2, 2), nn.AvgPool1d(2), nn.InstanceNorm1d(2), nn.Flatten(1, 2),
    ), (2, 3, 11)),
    "blocks": (nn.Sequential(
        nn.Residual(nn.Linear(4, 4), nn.Tanh()), nn.Parallel(nn.Linear(4, 3), nn.Linear(4, 3), combine="sum"), nn.LayerNorm(3),
    ), (5, 4)),
    "LSTM": (nn.Sequential(
        nn.LSTM(3, 4, num_layers=2, batch_first=True, bidirectional=True), nn.TakeOutput(-1), nn.Linear(8, 2)), (2, 5, 3)),
    "GRU": (nn.Sequential(nn.GRU(3, 4), nn.TakeOutput(0, batch_first=False)), (5, 2, 3)),
    "RNN": (nn.Sequential(nn.RNN(3, 4, nonlinearity="relu", bias=False), nn.TakeOutput()), (5, 2, 3)),
    "encoder": (nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, activation=nn.SiLU(), batch_first=True, norm_first=True), 2, nn.LayerNorm(8),
    ), (2, 5, 8)),
}  # fmt: skip


def in_pytorch(exported, folder, monkeypatch, *inputs):
    """What the printed code's network gives."""
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(folder)
    names = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch's own about its fast path of encoders
        exec(str(exported), names)
        with torch.no_grad():
            return names["net"](*map(torch.from_numpy, inputs)).numpy()


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize("case", LAYERS)
def test_the_printed_code_is_the_network(case, suffix, tmp_path, monkeypatch):
    layers, shape = LAYERS[case]
    net, x = drawn(layers), normal(*shape)
    exported = rg.export(net, tmp_path / f"net{suffix}", metadata={"note": "of numbers"})
    assert exported.files == [tmp_path / f"net{suffix}"]
    np.testing.assert_allclose(in_pytorch(exported, tmp_path, monkeypatch, x), net(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_numbers_keep_their_precision(dtype, tmp_path, monkeypatch):
    net = nn.Sequential(nn.Linear(3, 2)).init(0, dtype)
    x = normal(4, 3).astype(dtype)
    found = in_pytorch(rg.export(net, tmp_path / "net.safetensors"), tmp_path, monkeypatch, x)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, net(x), rtol=1e-12 if dtype == "float64" else 1e-2)


def test_categories(tmp_path, monkeypatch):
    net = nn.Sequential(nn.Embedding(7, 3, padding_idx=2), nn.Flatten()).init(0)
    tokens = RNG.integers(0, 7, (4, 5))
    np.testing.assert_array_equal(
        in_pytorch(rg.export(net, tmp_path / "net.npz"), tmp_path, monkeypatch, tokens), net(tokens)
    )


def test_metadata_goes_along(tmp_path):
    from safetensors import safe_open

    net, told = nn.Linear(3, 2).init(0), {"table": '{"é": 1}'}
    rg.export(net, tmp_path / "net.safetensors", metadata=told)
    rg.export(net, tmp_path / "net.npz", metadata=told)
    with safe_open(tmp_path / "net.safetensors", "numpy") as file:
        assert file.metadata() == told
    assert json.loads(str(np.load(tmp_path / "net.npz")["metadata"])) == told
    again = nn.load_state_dict(nn.Linear(3, 2), tmp_path / "net.safetensors")
    assert all(map(np.array_equal, tree_leaves(again), tree_leaves(net)))


def test_code_of_ones_own_is_left_to_its_writer(tmp_path):
    net = nn.Sequential(nn.Linear(3, 2), nn.Lambda(np.sin)).init(0)
    said = str(rg.export(net, tmp_path / "net.safetensors"))
    assert "#   0.weight: float32 (2, 3)" in said and "net = " not in said

    class Mine(nn.Module):
        dynamic = ("inner",)

        def __init__(self):
            self.inner = nn.Linear(3, 2)

        def config(self):
            return {"type": "Mine"}

    assert "Mine is a layer of your own" in str(rg.export(Mine().init(0), tmp_path / "net.npz"))
    said = str(rg.export(nn.Ensemble(nn.Linear(3, 2), 4).init(0), tmp_path / "net.npz"))
    assert "# Ensemble runs all" in said and "#   member.weight: float32 (4, 2, 3)" in said


class Named(nn.Module):
    dynamic = ("metadata",)

    def __init__(self):
        self.metadata = np.ones(2)


def test_what_no_state_dict_holds_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"nn\.Module"):
        rg.export(np.sin, tmp_path / "net.safetensors")
    with pytest.raises(UnsupportedError, match="complex"):
        rg.export(nn.Lambda(lambda p, x: p * x, np.ones(3)).init(0, np.complex64), tmp_path / "net.npz")
    with pytest.raises(ModelError, match='"metadata"'):
        rg.export(Named(), tmp_path / "net.npz", metadata={"a": "b"})
    assert not list(tmp_path.iterdir())
