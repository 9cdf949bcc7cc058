"""Networks of the further layers: trained, saved, dropped out of, given what does not fit."""

import re

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn
from retrograde.errors import DataError, ModelError, ModelFileError
from retrograde.tree import tree_leaves, tree_map

RNG = np.random.default_rng(0)
NUMBERS = RNG.integers(0, 7, (60, 5))
SUMS = NUMBERS.sum(1, keepdims=True).astype(float)
SERIES = RNG.normal(size=(60, 5, 3))


def recurrent(layer):
    return nn.Sequential(layer, nn.TakeOutput(-1), nn.Linear(8, 1))


NETWORKS = {
    "embedding": (nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(20, 1)), NUMBERS),
    "rnn": (recurrent(nn.RNN(3, 8, batch_first=True)), SERIES),
    "lstm": (recurrent(nn.LSTM(3, 4, 2, batch_first=True, dropout=0.1, bidirectional=True)), SERIES),
    "gru": (recurrent(nn.GRU(3, 8, batch_first=True)), SERIES),
    "transformer": (
        nn.Sequential(
            nn.Linear(3, 8), nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, nn.LayerNorm(8)),
            nn.TakeOutput(-1), nn.Linear(8, 1),
        ), SERIES),
    "attention": (nn.Sequential(nn.MultiheadAttention(3, 1, batch_first=True), nn.TakeOutput(0), nn.Linear(3, 1)), SERIES),
    "blocks": (
        nn.Sequential(
            nn.Flatten(), nn.Residual(nn.RMSNorm(15), nn.Linear(15, 15), nn.PReLU(15)),
            nn.Parallel(nn.Linear(15, 4), nn.Sequential(nn.Linear(15, 4), nn.GroupNorm(2, 4), nn.Dropout(0.2))),
            nn.Parallel(nn.Linear(8, 2), nn.Linear(8, 3), combine="tuple"), nn.Bilinear(2, 3, 1),
        ), SERIES),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_train_and_come_back_from_a_file(name, tmp_path):
    net, x = NETWORKS[name]
    y = SUMS if name == "embedding" else x.sum((1, 2))[:, None]
    run = rg.fit(net, (x, y), epochs=12, batch_size=20, optimizer=rg.optim.Adam(0.02))
    assert run.history["loss"][-1] < run.history["loss"][0]
    run.model.save(tmp_path / "net.safetensors")
    again, _ = rg.load(tmp_path / "net.safetensors")
    assert repr(again) == repr(run.model)
    x = x.astype(np.float32) if x.dtype == float else x
    for a, b in zip(tree_leaves(again(x)), tree_leaves(run.model(x))):
        np.testing.assert_array_equal(a, b)
    named = nn.state_dict(run.model)
    np.testing.assert_array_equal(nn.load_state_dict(net, named)(x), run.model(x))


def test_eager_and_compiled_runs_are_the_same_program():
    net, x = NETWORKS["lstm"]
    runs = [rg.fit(net, (x, SUMS), epochs=2, compiled=compiled, dtype=np.float64) for compiled in (True, False)]
    np.testing.assert_allclose(runs[0].history["loss"], runs[1].history["loss"], rtol=1e-10)


def test_dropout_falls_in_training_alone():
    for net, x in [
        (nn.GRU(3, 4, 2, dropout=0.5), SERIES), (nn.MultiheadAttention(3, 1, dropout=0.5), SERIES),
        (nn.TransformerEncoderLayer(3, 1, 4), SERIES), (nn.Residual(nn.Dropout(0.5)), SERIES),
        (nn.Parallel(nn.Dropout(0.5), nn.Dropout(0.5)), SERIES),
    ]:  # fmt: skip
        net = net.init(0, np.float64)
        outputs = [tree_leaves(net(x, key=key))[0] for key in (None, None, rg.random.key(1), rg.random.key(1), rg.random.key(2))]
        assert np.array_equal(outputs[0], outputs[1]) and np.array_equal(outputs[2], outputs[3])
        assert not np.array_equal(outputs[0], outputs[2]) and not np.array_equal(outputs[2], outputs[4])
        compiled = tree_leaves(rg.jit(lambda x, key, net=net: net(x, key=key))(x, rg.random.key(1)))[0]
        np.testing.assert_allclose(compiled, outputs[2], rtol=1e-12, atol=1e-14)
    both = nn.Parallel(nn.Dropout(0.5), nn.Dropout(0.5), combine="tuple")(SERIES, key=rg.random.key(0))
    assert not np.array_equal(*both), "each layer has a key of its own"


def test_a_query_that_may_look_nowhere_gets_zeros_and_finite_gradients():
    q = RNG.normal(size=(2, 3, 4))
    mask = np.array([[False, False, False], [True, False, True], [True, True, True]])
    for m in (mask, np.where(mask, 0.0, -np.inf)):
        for transform in (lambda f: f, rg.jit):
            assert not np.any(transform(lambda q, m=m: nn.scaled_dot_product_attention(q, q, q, m))(q)[:, 0])
            g = transform(rg.grad(lambda q, m=m: np.sum(np.sin(nn.scaled_dot_product_attention(q, q, q, m)))))(q)
            assert np.all(np.isfinite(g))


def test_padding_row_gets_no_gradient_and_unknown_rows_are_told():
    table = nn.Embedding(5, 3, padding_idx=-1).init(0, np.float64)
    assert table.padding_idx == 4 and not np.any(table.weight[4])
    g = rg.jit(rg.grad(lambda net, x: np.sum(net(x) + 1)))(table, np.array([4, 4, 1])).weight
    assert not np.any(g[4]) and np.all(g[1] == 1)
    for bad in (np.array([0, 5]), np.array([-1]), np.array([0.5]), np.array([np.nan])):
        with pytest.raises(DataError, match="whole numbers from 0 to 4"):
            table(bad)
        assert np.all(np.isnan(rg.jit(table)(bad)[-1]))
    np.testing.assert_array_equal(rg.jit(table)(np.array([2.0, 0.0])), table.weight[[2, 0]])


def test_lambda_is_any_numpy_code_with_or_without_parameters(tmp_path):
    x = RNG.uniform(-1, 1, (200, 1))
    wave = nn.Sequential(nn.Lambda(lambda p, x: p["a"] * np.sin(p["w"] * x), {"a": 0.5, "w": 2.5}), nn.Lambda(lambda x: x + 1))
    run = rg.fit(wave.init(0, np.float64), (x, 2 * np.sin(3 * x) + 1), epochs=200, optimizer=rg.optim.Adam(0.05))
    found = run.model[0].params
    np.testing.assert_allclose([found["a"], found["w"]], [2, 3], rtol=1e-3)
    with pytest.raises(ModelError, match="holds Python code"):
        run.model.save(tmp_path / "net.safetensors")
    assert not list(tmp_path.iterdir())
    assert sorted(nn.state_dict(run.model)) == ["0.params.a", "0.params.w"]


def test_state_dicts_that_do_not_fit_say_where(tmp_path):
    net = nn.Sequential(nn.Linear(3, 2), nn.GRU(2, 2))
    named = nn.state_dict(net.init(0))
    assert sorted(named) == ["0.bias", "0.weight", "1.bias_hh_l0", "1.bias_ih_l0", "1.weight_hh_l0", "1.weight_ih_l0"]
    with pytest.raises(ModelError, match=r"lacks 0\.bias; it has beside them b"):
        nn.load_state_dict(net, {"b": 1.0} | {k: v for k, v in named.items() if k != "0.bias"})
    with pytest.raises(ModelError, match=r"0\.bias is float32 \(3,\); \(2,\) floats"):
        nn.load_state_dict(net, named | {"0.bias": np.zeros(3, np.float32)})
    with pytest.raises(ModelError, match="several dtypes, float32, float64"):
        nn.load_state_dict(net, named | {"0.bias": np.zeros(2)})
    assert nn.load_state_dict(net, named | {"0.bias": np.zeros(2)}, dtype="float32")[0].bias.dtype == np.float32
    (tmp_path / "broken").write_bytes(b"\x80\x04pickle")
    for name, message in (("broken", "not a whole safetensors file"), ("none", "there is no file")):
        with pytest.raises(ModelFileError, match=message):
            nn.load_state_dict(net, tmp_path / name)
    with pytest.raises(ModelError, match="no parameters yet"):
        nn.state_dict(net)


def test_what_does_not_fit_is_told():
    for make, said in [
        (lambda: nn.LayerNorm(0), "normalized_shape"),
        (lambda: nn.GroupNorm(2, 3), "equal groups"),
        (lambda: nn.LSTM(2, 2.5), "hidden_size"),
        (lambda: nn.MultiheadAttention(5, 2), "not a multiple"),
        (lambda: nn.RNN(1, 1, nonlinearity="sin"), "nonlinearity"),
        (lambda: nn.Embedding(3, 2, 3), "padding_idx"),
        (lambda: nn.Parallel(), "one layer"),
        (lambda: nn.Lambda(3), "a function"),
        (lambda: nn.Hardtanh(1, 0), "below max_val"),
        (lambda: nn.GRU(2, 2, dropout=1.0), "probability"),
        (lambda: nn.TransformerEncoder(nn.Linear(1, 1), 2), "TransformerEncoderLayer"),
        (lambda: nn.LayerNorm(3).init(0)(np.ones((2, 4))), re.escape("(3,)")),
        (lambda: nn.LayerNorm(3)(np.ones(3)), "no parameters"),
        (lambda: nn.GRU(2, 2).init(0)(np.ones((1, 3))), "last of length 2"),
        (lambda: nn.GRU(2, 2)(np.ones((1, 2))), "no parameters"),
        (lambda: nn.LSTM(2, 2).init(0)(np.ones((1, 1, 2)), np.ones((1, 1, 2))), "a pair"),
        (lambda: nn.MultiheadAttention(2, 1).init(0)(np.ones((1, 3))), "query"),
        (lambda: nn.MultiheadAttention(2, 1).init(0)(np.ones((3, 1, 2)), attn_mask=np.ones((2, 3), bool)), "attn_mask"),
        (lambda: nn.MultiheadAttention(2, 1).init(0)(np.ones((3, 1, 2)), attn_mask=np.ones((3, 3), int)), "booleans or of fl"),
        (lambda: nn.Residual(nn.Linear(2, 3)).init(0)(np.ones((1, 2))), "must keep it"),
        (lambda: nn.GLU()(np.ones(3)), "even"),
        (lambda: nn.Bilinear(2, 2, 1).init(0)(np.ones((1, 2))), "two arrays"),
        (lambda: nn.Flatten(2)(np.ones((2, 2))), "no axes"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=said):
            make()


def test_layers_of_an_encoder_have_parameters_of_their_own():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), 2).init(0)
    a, b = (layer.linear1.weight for layer in encoder.layers)
    assert not np.array_equal(a, b)
    assert not encoder.replace(layers=(encoder.layers[0], nn.TransformerEncoderLayer(4, 2, 8))).initialized
    assert tree_map(np.shape, encoder).layers[0].self_attn.in_proj_weight == (12, 4)
