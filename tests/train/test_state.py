"""`fit` with what is not trained: running statistics, frozen arrays; compiled and interpreted, resumed, many, mixed, averaged."""

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, optim, random
from retrograde.errors import DivergenceWarning, ModelError
from retrograde.tree import tree_leaves, tree_map, tree_paths

RNG = np.random.default_rng(0)
X = RNG.normal(size=(22, 4))
Y = np.stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2]], 1)
NET = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 2))
SGD = optim.SGD(0.05, momentum=0.9)


def assert_close(a, b, rtol=1e-9):
    """Beside rounding: the gradient of a bias in front of BatchNorm is nothing but that."""
    for p, q in zip(tree_leaves(a), tree_leaves(b), strict=True):
        np.testing.assert_allclose(p, q, rtol=rtol, atol=0.1 * rtol)


def test_a_run_is_the_plain_loop_with_running_statistics():
    settings = {"optimizer": SGD, "batch_size": 8, "epochs": 3, "shuffle": False, "validation": (X[:5], Y[:5])}
    native, plain = (rg.fit(NET, (X, Y), compiled=c, dtype=np.float64, **settings) for c in (True, False))
    assert_close(native.model, plain.model)
    net, key = NET.init(0, np.float64), random.key(0)
    state, losses = SGD.init(nn.partition(net)[0]), []
    for _ in range(3):
        for start in (0, 8, 16):  # the last batch has 6 points
            x, y = X[start : start + 8], Y[start : start + 8]
            trained, rest = nn.partition(net)

            def loss(p, x=x, y=y, rest=rest):
                f, moved = nn.combine(p, rest).apply(x, key)
                return np.mean((f - y) ** 2), moved

            (_, net), grads = rg.value_and_grad(loss, has_aux=True)(trained)
            trained, state = SGD.update(grads, state, trained)
            net = nn.combine(trained, net)
        losses.append(np.mean((net(X[:5]) - Y[:5]) ** 2))
    assert_close(native.model, net)
    assert native.model[1].num_batches_tracked == 9
    np.testing.assert_allclose(native.history["val_loss"], losses, rtol=1e-9)


@pytest.mark.parametrize(
    "settings", [{"precision": "bf16"}, {"precision": "f16"}, {"starts": 2}, {"early_stopping": 2}],
    ids=["bf16", "f16", "starts", "early"],
)  # fmt: skip
def test_with_everything_else(settings):
    if "early_stopping" in settings:
        settings = settings | {"validation": (X[:5], -Y[:5])}  # gets worse
    runs = [rg.fit(NET, (X, Y), compiled=c, optimizer=SGD, batch_size=8, epochs=4, **settings) for c in (True, False)]
    for a, b in zip(*(run.starts or (run,) for run in runs), strict=True):
        assert_close(a.model, b.model, rtol=2e-2 if "precision" in settings else 1e-3)
        epochs = a.best_epoch or 4
        assert a.model[1].num_batches_tracked == 3 * epochs
    if "early_stopping" in settings:
        assert runs[0].best_epoch < runs[0].epochs


def test_frozen_arrays_stay_and_cost_nothing():
    net = nn.freeze(NET.init(0), "0", "1")
    native, plain = (rg.fit(net, (X, Y), compiled=c, optimizer=optim.Adam(0.01), batch_size=8, epochs=3) for c in (True, False))
    assert_close(native.model, plain.model, rtol=1e-4)
    for name, before in nn.state_dict(net).items():
        assert np.array_equal(before, nn.state_dict(native.model)[name]) == (name[0] in "01"), name
    assert {path[-3:] for path in tree_paths(native.optimizer_state["m"])} == {("layers", 3, "weight"), ("layers", 3, "bias")}
    free = rg.fit(NET.init(0), (X, Y), optimizer=optim.Adam(0.01), batch_size=8, epochs=1)
    assert native.flops_per_update < 0.7 * free.flops_per_update
    assert native.held_bytes == 8 * (2 + 5) * 4 < free.held_bytes  # the prediction, and what the frozen layers give
    assert "memory of the program" in native.summary() and native.arena_bytes > 0 == plain.arena_bytes
    assert "parameters                  12" in native.summary()


def test_frozen_is_as_if_it_were_code_of_the_network():
    body, head = nn.Sequential(nn.Linear(4, 5), nn.Tanh()).init(0), nn.Linear(5, 2).init(1)
    settings = {"optimizer": optim.Adam(0.01), "batch_size": 8, "epochs": 2}
    a = rg.fit(nn.freeze(nn.Sequential(body, head), "0"), (X, Y), **settings)
    b = rg.fit(nn.Sequential(head), (body(X.astype(np.float32)), Y), **settings)
    assert_close(a.model[1], b.model[0], rtol=1e-5)


def test_all_frozen_only_moves_statistics():
    net = nn.unfreeze(nn.freeze(NET.init(0)), "1.running_mean", "1.running_var", "1.num_batches_tracked")
    run = rg.fit(net, (X, Y), batch_size=None, epochs=1)
    before, after = nn.state_dict(net), nn.state_dict(run.model)
    assert [name for name in before if not np.array_equal(before[name], after[name])] == list(before)[4:7]


def test_resumed_to_the_same_bits(tmp_path):
    net = nn.freeze(NET, "3.bias")
    settings = {"optimizer": optim.Averaged(optim.Adam(0.01)), "batch_size": 8, "validation": (X[:5], Y[:5]), "early_stopping": 9}
    whole = rg.fit(net, (X, Y), epochs=5, **settings)
    rg.fit(net, (X, Y), epochs=2, **settings).save(tmp_path / "run")
    again = rg.fit(net, (X, Y), epochs=5, resume=tmp_path / "run", **settings)
    assert [a.tobytes() for a in tree_leaves(whole.model)] == [a.tobytes() for a in tree_leaves(again.model)]
    with pytest.raises(ModelError, match="other settings"):
        rg.fit(NET, (X, Y), epochs=5, resume=tmp_path / "run", **settings)


def test_an_average_of_the_weights_becomes_a_network():
    run = rg.fit(nn.freeze(NET.init(0), "0"), (X, Y), optimizer=optim.Averaged(optim.Adam(0.01), decay=0.5), epochs=2)
    net = nn.combine(run.optimizer_state["average"], run.model)
    assert net(X.astype(np.float32)).shape == Y.shape
    assert np.array_equal(net[0].weight, run.model[0].weight) and not np.array_equal(net[3].weight, run.model[3].weight)


def test_a_single_point_is_refused_before_training():
    with pytest.raises(ModelError, match="no single point for the last batch"):
        rg.fit(NET, (X, Y), batch_size=7)
    run = rg.fit(nn.freeze(NET.init(0), "1"), (X, Y), batch_size=1, epochs=1)  # by the running statistics
    assert run.updates == 22 and tree_map(np.shape, run.model[1].weight) == (5,)


def test_a_network_of_two_outputs_in_half_precision():
    net = nn.Parallel(nn.Linear(4, 2), nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2), nn.Softplus()), combine="tuple")
    narrow, plain = (rg.fit(net, (X, Y), loss=nn.GaussianNLLLoss(), optimizer=optim.SGD(0.01), epochs=2, precision=p)
                     for p in ("f16", None))  # fmt: skip
    np.testing.assert_allclose(narrow.history["loss"], plain.history["loss"], rtol=1e-2)


def test_a_batch_left_out_leaves_the_statistics():
    """The first of float16's two batches overflows in the network."""
    x = np.concatenate([np.full((4, 4), 1e5), RNG.normal(size=(4, 4))])
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    for compiled in (True, False):
        with pytest.warns(DivergenceWarning, match="the loss is"):
            run = rg.fit(net, (x, Y[:8]), batch_size=4, shuffle=False, epochs=1, precision="f16", compiled=compiled)
        assert "overflows in float16" in run.diagnose()[0] and run.diagnose()[0].startswith("update 0 ")
        assert run.skipped_updates == 1 and run.model[1].num_batches_tracked == 1
        assert np.all(np.isfinite(run.model[1].running_mean)) and np.all(np.abs(run.model[1].running_mean) < 10)
