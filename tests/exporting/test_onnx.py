"""Models as ONNX: every rule against its primitive's samples, networks in ONNX Runtime, batches of any length."""

import functools
import importlib
import pkgutil

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, ops
from retrograde.control import fori_loop, while_loop
from retrograde.errors import UnsupportedError
from retrograde.ir.primitive import REGISTRY
from retrograde.tree import tree_leaves

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from onnx.reference import ReferenceEvaluator  # noqa: E402

from retrograde.exporting.onnx_nodes import NODES  # noqa: E402

for module in pkgutil.iter_modules(ops.__path__):
    importlib.import_module(f"retrograde.ops.{module.name}")
RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


REFUSED = {"embed", "sum_pool", "floor_divide", "matmul", "convolve"}  # with steps, dilation, integers, less precision, nothing
WITHOUT = {"scan", "checkpoint", "custom", "after", "implicit"}  # samples; tested below, but those that are nothing in a graph
MORE = {"embed": [((normal(2, 3),), {"shape": (5, 4), "start": (2, 0), "limit": (4, 3), "step": (1, 1)})]}


def run(path, *inputs):
    """The outputs in ONNX Runtime."""
    session = onnxruntime.InferenceSession(str(path))
    return session.run(None, dict(zip([i.name for i in session.get_inputs()], inputs)))


def sizes(path):
    """The shapes of the outputs, as they stand in the file."""
    return [[d.dim_param or d.dim_value for d in o.type.tensor_type.shape.dim] for o in onnx.load(path).graph.output]


def samples(name):
    """Those of dtypes that ONNX shares."""
    for args, params in (*REGISTRY[name].samples(), *MORE.get(name, ())):
        if all(np.asarray(a).dtype.kind in "fiub" for a in args):
            yield [np.asarray(a) for a in args], params


@pytest.mark.parametrize("name", sorted(NODES.keys() - WITHOUT))
def test_a_rule_means_what_its_primitive_means(name, tmp_path):
    primitive, seen = REGISTRY[name], 0
    for args, params in samples(name):
        try:
            rg.export(functools.partial(primitive, **params), tmp_path / "f.onnx", example=tuple(args))
        except UnsupportedError:
            assert name in REFUSED
            continue
        model = ReferenceEvaluator(str(tmp_path / "f.onnx"))
        (found,) = model.run(None, dict(zip(model.input_names, args)))
        with np.errstate(all="ignore"):
            want = primitive.reference(*args, **params)
        exact = {"rtol": 1e-6, "atol": 1e-12} if name != "convolve" else {"rtol": 1e-5, "atol": 1e-5}
        np.testing.assert_allclose(found, want, **exact)
        assert np.shape(found) == np.shape(want) and np.asarray(found).dtype == np.asarray(want).dtype
        seen += 1
    assert seen


IMAGE, SERIES = (2, 3, 8, 8), (2, 5, 8)
NETWORKS = {
    "activations": (nn.Parallel(
        nn.ReLU6(), nn.LeakyReLU(), nn.PReLU(), nn.ELU(), nn.SELU(), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Mish(),
        nn.Softplus(), nn.LogSigmoid(), nn.Hardswish(), nn.Softshrink(), nn.Softmax(), nn.LogSoftmax(1), nn.GLU(),
    ), SERIES),
    "images": (nn.Sequential(
        nn.Conv2d(3, 4, 3, padding="same"), nn.BatchNorm2d(4), nn.MaxPool2d(2, padding=1),
        nn.Conv2d(4, 4, (2, 3), stride=(2, 1), groups=2), nn.GroupNorm(2, 4), nn.ReLU(),
        nn.ConvTranspose2d(4, 2, 3, stride=2, padding=2), nn.AvgPool2d(2, ceil_mode=True),
        nn.InstanceNorm2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3),
    ), IMAGE),
    "signals": (nn.Sequential(nn.Conv1d(5, 4, 3, padding=1, padding_mode="reflect"), nn.AdaptiveMaxPool1d(3)), SERIES),
    "transformer": (nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, nn.RMSNorm(8)), SERIES),
    "LSTM": (nn.Sequential(nn.LSTM(8, 4, batch_first=True, bidirectional=True), nn.TakeOutput(-1), nn.Linear(8, 2)), SERIES),
    "GRU": (nn.GRU(8, 4, batch_first=True), SERIES),
}  # fmt: skip


@pytest.mark.parametrize("case", NETWORKS)
def test_a_network_takes_batches_of_any_length(case, tmp_path):
    layers, shape = NETWORKS[case]
    net = layers.init(1)
    rg.export(net, tmp_path / "net.onnx", example=normal(*shape))
    assert any("batch" in dims for dims in sizes(tmp_path / "net.onnx"))
    for length in (1, 4):
        x = normal(length, *shape[1:])
        for found, want in zip(run(tmp_path / "net.onnx", x), tree_leaves(net(x)), strict=True):
            np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)


def test_infinities(tmp_path):
    x, y = (np.array(values, np.float32) for values in ([-np.inf, np.inf, -np.inf, 1, 0], [-np.inf, np.inf, 2, np.inf, 0]))
    rg.export(lambda x, y: np.logaddexp(x, y), tmp_path / "f.onnx", example=(x, y))
    np.testing.assert_allclose(run(tmp_path / "f.onnx", x, y)[0], np.logaddexp(x, y), rtol=1e-6)


def test_inputs_may_have_any_names(tmp_path):
    """Those that the writer gives to what lies between, too."""

    def f(v1, v2, batch):
        return {"v3": v1 * 3.0 + v2 * batch}

    x = normal(2, 3), normal(2, 3), normal(2, 3)
    rg.export(f, tmp_path / "f.onnx", example=x)
    np.testing.assert_allclose(run(tmp_path / "f.onnx", *x)[0], f(*x)["v3"], rtol=1e-6)


def test_categories(tmp_path):
    net = nn.Sequential(nn.Embedding(9, 3), nn.Flatten(), nn.Linear(12, 2)).init(0)
    tokens = RNG.integers(0, 9, (6, 4))
    rg.export(net, tmp_path / "net.onnx", example=tokens[:1])
    np.testing.assert_allclose(run(tmp_path / "net.onnx", tokens)[0], net(tokens), rtol=1e-5, atol=1e-6)


def test_what_depends_on_the_length_keeps_the_examples(tmp_path):
    def centered(x):  # a mean divides by the length, which is a number of the graph
        return x - np.mean(x, axis=0)

    x = normal(3, 2)
    rg.export(centered, tmp_path / "f.onnx", example=x)
    assert sizes(tmp_path / "f.onnx") == [[3, 2]]
    np.testing.assert_allclose(run(tmp_path / "f.onnx", x)[0], centered(x), rtol=1e-6)
    rg.export(lambda x: x[:-1] + x[1:], tmp_path / "f.onnx", example=x)  # a length less one is not in proportion
    assert sizes(tmp_path / "f.onnx") == [[2, 2]]
    rg.export(nn.Linear(3, 2).init(0), tmp_path / "f.onnx", example=normal(3))  # whose length is of features
    assert sizes(tmp_path / "f.onnx") == [[2]]


def test_sizes_that_are_multiples_of_the_length(tmp_path):
    ones = np.ones((2, 3), np.float32)

    def f(x):  # two open sizes in a shape, constants as long as the batch, an axis that is twice as long
        n = len(x)
        pairs = x[:, None] + np.zeros((n, 1, 3), np.float32)
        return {"square": np.broadcast_to(pairs, (n, n, 3)), "double": np.concatenate([x, x]), "sum": np.sum(x, 0) + ones}

    x = normal(4, 3)
    rg.export(f, tmp_path / "f.onnx", example=x[:1])
    assert sizes(tmp_path / "f.onnx") == [["2*batch", 3], ["batch", "batch", 3], [2, 3]]
    for found, want in zip(run(tmp_path / "f.onnx", x), tree_leaves(f(x)), strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-6)


def test_padding(tmp_path):
    x = normal(4, 3)

    def f(x):
        return np.pad(x, ((0, 0), (2, 1))), np.pad(x[:, :2], ((0, 0), (0, 3)), constant_values=1.5)

    rg.export(f, tmp_path / "f.onnx", example=x[:1])
    assert sizes(tmp_path / "f.onnx") == [["batch", 6], ["batch", 5]]
    for found, want in zip(run(tmp_path / "f.onnx", x), f(x), strict=True):
        np.testing.assert_array_equal(found, want)


def test_inputs_of_one_batch_and_others(tmp_path):
    def f(x, weight, matrix):
        return (x * weight[:, None]) @ matrix

    args = normal(3, 2), normal(3), normal(2, 4)
    rg.export(f, tmp_path / "f.onnx", example=tuple(a if a.ndim == 2 and len(a) == 2 else a[:1] for a in args))
    np.testing.assert_allclose(run(tmp_path / "f.onnx", *args)[0], f(*args), rtol=1e-5)


def test_loops_and_functions_inside(tmp_path):
    def f(x):
        y = fori_loop(0, 3, lambda i, y: np.tanh(y) + 0.5, x)
        return rg.checkpoint(np.sin)(y)

    x = normal(3, 2)
    rg.export(f, tmp_path / "f.onnx", example=x[:1])
    np.testing.assert_allclose(run(tmp_path / "f.onnx", x)[0], rg.jit(f)(x), rtol=1e-5)


def test_what_onnx_cannot_say_is_refused(tmp_path):
    def endless(x):
        return while_loop(lambda y: np.sum(y) < 10, lambda y: y * 2, x)

    with pytest.raises(UnsupportedError, match=r"does scan.*ends by a condition"):
        rg.export(endless, tmp_path / "f.onnx", example=np.ones(3))
    with pytest.raises(UnsupportedError, match=r"does sort \(line \d+ of .*test_onnx\.py\)"):
        rg.export(lambda x: np.sort(x), tmp_path / "f.onnx", example=np.ones(3))
    assert not list(tmp_path.iterdir())


def test_the_printed_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net, x = nn.Sequential(nn.Linear(3, 2), nn.Tanh()).init(0), normal(5, 3)
    said = rg.export(net, "net.onnx", example=x[:1], metadata={"classes": "no, yes"})
    assert "# x: float32 (batch, 3)\n# y: float32 (batch, 2)\n" in str(said)
    names = {"x": x}
    exec(str(said), names)
    np.testing.assert_allclose(names["y"], net(x), rtol=1e-5, atol=1e-6)
    assert {p.key: p.value for p in onnx.load("net.onnx").metadata_props} == {"classes": "no, yes"}
