"""What comes of many starts: their basins, and the ensemble of the best."""

from types import SimpleNamespace

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, optim
from retrograde.errors import ModelError
from retrograde.nn.ensemble import average_for
from retrograde.train.basins import basins_of

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
LABELS = (X[:, 0] * X[:, 1] > 0).astype(int)
NET = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


@pytest.fixture(scope="module")
def run():
    return rg.fit(NET, (X, LABELS), loss="cross_entropy", starts=5, epochs=3, optimizer=optim.Adam(0.02), dtype=np.float64)


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_an_ensemble_averages_the_probabilities_of_the_best_starts(run):
    ensemble = run.ensemble(3)
    outputs = np.stack([start.model(X) for start in run.starts[:3]])
    np.testing.assert_allclose(ensemble.members(X), outputs, rtol=1e-12)
    np.testing.assert_allclose(softmax(ensemble(X)), softmax(outputs).mean(0), rtol=1e-12)
    mean, std = ensemble.mean_and_std(X)
    np.testing.assert_allclose(mean, softmax(outputs).mean(0), rtol=1e-12)
    np.testing.assert_allclose(std, softmax(outputs).std(0), rtol=1e-9)
    assert len(run.ensemble()) == 5 and len(ensemble) == 3
    np.testing.assert_array_equal(ensemble[-1](X), outputs[2])


@pytest.mark.parametrize("average", ["mean", "softmax", "sigmoid"])
def test_it_keeps_the_dtype_and_works_under_every_transform(average):
    ensemble = nn.Ensemble(nn.Linear(3, 2), size=4, average=average).init(0)
    x = X.astype(np.float32)
    outputs = ensemble(x)
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(rg.jit(lambda net, x: net(x))(ensemble, x), outputs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(rg.vmap(ensemble)(x), outputs, rtol=1e-5, atol=1e-6)
    grads = rg.grad(lambda net: np.sum(np.square(net(x))))(ensemble)
    assert grads.member.weight.dtype == np.float32
    rg.check(lambda net: np.sum(np.square(net(X))))(ensemble)


def test_running_statistics_of_its_members_move_on_in_training():
    net = nn.Ensemble(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), size=2).init(0)
    key, x = rg.random.key(1), X.astype(np.float32)
    outputs, moved = net.apply(x, key)
    alone = [net[i].apply(x, rg.random.fold_in(key, i)) for i in range(2)]
    np.testing.assert_allclose(outputs, np.mean([y for y, _ in alone], axis=0), rtol=1e-5, atol=1e-6)
    for i, (_, member) in enumerate(alone):
        for a, b in zip(rg.tree.tree_leaves(moved[i]), rg.tree.tree_leaves(member), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)

    class Twice(nn.Module):
        dynamic = ("net",)

        def __init__(self, net):
            self.net = net

        def __call__(self, x, key=None):
            return self.net(x, key=key) + self.net(x, key=key)

    _, twice = Twice(net).apply(x, key)
    assert twice.net.member.layers[1].num_batches_tracked.tolist() == [2, 2]
    deep = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    run = rg.fit(nn.Ensemble(deep, size=2), (X, X[:, :1]), batch_size=20, epochs=3)
    assert run.model.member.layers[1].num_batches_tracked.tolist() == [6, 6]


def test_its_loss_is_that_of_the_averaged_probabilities_and_below_the_members_mean(run):
    ensemble = run.ensemble()
    p = softmax(ensemble.members(X)).mean(0)
    value = nn.losses.cross_entropy(ensemble(X), LABELS)
    assert value == pytest.approx(-np.log(p[np.arange(40), LABELS]).mean())
    assert value <= np.mean([nn.losses.cross_entropy(start.model(X), LABELS) for start in run.starts])


@pytest.mark.parametrize("loss", ["mse", "binary_cross_entropy"])
def test_outputs_are_averaged_for_values_and_probabilities_for_logits_of_two_classes(loss):
    net = nn.Sequential(nn.Linear(3, 2))
    members = [net.init(seed, np.float64) for seed in range(3)]
    ensemble = nn.Ensemble.of(members, average_for(nn.losses.get_loss(loss)))
    outputs = np.stack([member(400.0 * X) for member in members])  # logits that overflow exp
    if loss == "mse":
        np.testing.assert_allclose(ensemble(400.0 * X), outputs.mean(0), rtol=1e-12)
        np.testing.assert_allclose(ensemble.mean_and_std(400.0 * X)[1], outputs.std(0), rtol=1e-9)
    else:
        log_yes, log_no = -np.logaddexp(0, -outputs), -np.logaddexp(0, outputs)
        wanted = np.logaddexp.reduce(log_yes) - np.logaddexp.reduce(log_no)
        np.testing.assert_allclose(ensemble(400.0 * X), wanted, rtol=1e-9, atol=1e-9)


def test_it_is_a_network_like_others(run, tmp_path):
    ensemble = run.ensemble(2)
    ensemble.save(tmp_path / "ensemble.safetensors")
    loaded, _ = rg.load(tmp_path / "ensemble.safetensors")
    assert repr(loaded) == repr(ensemble) and loaded.num_parameters == 2 * run.model.num_parameters
    np.testing.assert_array_equal(loaded(X), ensemble(X))

    def loss(net, x, y):
        return nn.losses.cross_entropy(net(x), y)

    np.testing.assert_allclose(rg.jit(lambda net, x: net(x))(ensemble, X), ensemble(X), rtol=1e-12)
    np.testing.assert_allclose(rg.vmap(ensemble)(X), ensemble(X), rtol=1e-12)
    rg.check(lambda net: loss(net, X, LABELS))(ensemble)
    assert rg.explore(loss)(ensemble, X, LABELS).loss == pytest.approx(loss(ensemble, X, LABELS))
    longer = rg.fit(ensemble, (X, LABELS), loss="cross_entropy", epochs=4, batch_size=None, optimizer=optim.GD(0.05))
    assert longer.history["loss"][-1] < longer.history["loss"][0]


def test_members_of_a_fresh_one_differ_and_drop_units_of_their_own():
    ensemble = nn.Ensemble(nn.Sequential(nn.Linear(3, 2)), 2).init(0)
    assert not np.array_equal(ensemble[0](X), ensemble[1](X))
    same = NET.init(0)
    dropping = nn.Sequential(*same, nn.Dropout(0.5))
    first, second = nn.Ensemble.of([dropping, dropping]).members(X, key=rg.random.key(0))
    assert not np.array_equal(first, second)


def test_what_cannot_be_averaged_is_told(run):
    with pytest.raises(ModelError, match="one architecture"):
        nn.Ensemble.of([NET.init(0), nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).init(0)])
    with pytest.raises(ModelError, match="one architecture"):
        nn.Ensemble.of([NET.init(0), NET.init(0, np.float64)])
    with pytest.raises(ModelError, match="with parameters"):
        nn.Ensemble.of([NET])
    with pytest.raises(ModelError, match='"softmax"'):
        nn.Ensemble(NET, 2, "median")
    with pytest.raises(ModelError, match="1 to 5"):
        run.ensemble(6)
    with pytest.raises(ModelError, match="starts=8"):
        run.starts[0].ensemble()
    with pytest.raises(IndexError):
        run.ensemble()[5]


def ended(*scores):
    return tuple(SimpleNamespace(score=score, seed=seed) for seed, score in enumerate(scores))


def test_a_basin_ends_where_the_next_score_is_far_above():
    basins = basins_of(ended(2.0, 1.0, 1.04, np.nan, 1.08, 3.0), 0.05, 0.0)
    assert [basin.seeds for basin in basins] == [[1, 2, 4], [0], [5]]  # 1 and 1.08 are linked by 1.04
    assert [run.seed for run in basins.diverged] == [3]
    np.testing.assert_array_equal(basins.scores, [1.0, 1.04, 1.08, 2.0, 3.0])
    assert len(basins_of(ended(1e-12, 3e-12, -1.0, -0.99), 0.05, 1e-8)) == 2
    text = str(basins)
    assert text.splitlines()[0] == "6 starts in 3 basins, 1 diverged; scores from 1 to 3, the median 1.08"
    assert "█" * 24 + "      3  seeds 1, 2, 4" in text and "diverged" in text.splitlines()[-1]


def test_runs_of_one_start_and_of_none_that_ended_have_basins_too(run):
    basins = run.basins(rtol=1e9)
    assert len(basins) == 1 and basins[0].scores.tolist() == [start.score for start in run.starts]
    assert sum(map(len, run.basins(rtol=0.0, atol=0.0))) == 5
    assert run.starts[0].basins()[0].runs == (run.starts[0],)
    assert str(basins_of(ended(np.nan, np.inf), 0.05, 0.0)).startswith("2 starts in 0 basins, 2 diverged\n")
    with pytest.raises(ModelError, match="rtol"):
        run.basins(rtol=-1)


@pytest.mark.parametrize("average", ["softmax", "mean"])
def test_an_ensemble_takes_lists_and_tables_as_its_members_do(run, average):
    pd = pytest.importorskip("pandas")
    ensemble = run.ensemble(2).replace(average=average)
    for given in (pd.DataFrame(X, columns=list("abc")), X.tolist()):
        np.testing.assert_array_equal(ensemble(given), ensemble(X))
        np.testing.assert_array_equal(ensemble.mean_and_std(given)[1], ensemble.mean_and_std(X)[1])
