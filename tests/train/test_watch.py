"""Statistics of named values out of the compiled run: those of the very passes, at no cost to a run that is not watched."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import retrograde as rg
from retrograde import nn, optim, random
from retrograde.errors import ModelError
from retrograde.nn.losses import cross_entropy
from retrograde.train import Every, Watch, Watched, program
from retrograde.train.watch import histogram
from retrograde.tree import tree_leaves, tree_map

RNG = np.random.default_rng(0)
X = RNG.normal(size=(53, 4))
LABELS = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
NET = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
NAMES = ["h1", "dl/df0", "omega1", "dl/dΩ0", "update/0.weight", "l"]
FIGURES = {
    "norm": np.linalg.norm, "mean": np.mean, "min": np.min, "max": np.max, "zeros": lambda x: np.mean(x == 0),
}  # fmt: skip


def fit(watch=NAMES, **changes):
    how = {"loss": "cross_entropy", "batch_size": 8, "epochs": 3, "dtype": np.float64, "compiled": False}
    return rg.fit(changes.pop("net", NET), (X, LABELS), watch=watch, **(how | changes))


def values(run, i):
    """The watched values of the update `i`, by the glass box."""
    record, next_one = run.explore(i), run.explore(i + 1)
    before, after = record["Ω0"].value, next_one["Ω0"].value
    return {
        "h1": record["h1"].value, "dl/df0": record["f0"].cotangent, "omega1": record["Ω1"].value, "l": record["l"].value,
        "dl/dΩ0": record["Ω0"].cotangent, "update/0.weight": (after - before) / np.linalg.norm(before),
    }  # fmt: skip


def check(run, steps):
    for at in steps:
        found = values(run, int(run.watched.steps[at]))
        for name, value in found.items():
            for figure, of in FIGURES.items():
                got = run.watched[name][figure][at]
                assert got == pytest.approx(of(np.ravel(value)), rel=1e-9, abs=1e-12), (name, figure, at)


@pytest.mark.parametrize("changes", [
    {"shuffle": False, "sample_weight": np.arange(1.0, 54.0)}, {"batch_size": None, "l2": 0.01},
    {"mixup": 0.3, "augment": lambda x, key: x + random.normal(key, x.shape, x.dtype)},
    {"starts": 2, "validation": 0.2, "optimizer": optim.SGD(0.1, momentum=0.9)},
], ids=["in order", "full batch", "mixed", "starts"])  # fmt: skip
def test_the_figures_are_those_of_the_passes(changes):
    run = fit(Watch(NAMES, 3), **changes)
    check(run, (0, len(run.watched.steps) // 2))


@pytest.fixture(scope="module")
def compiled():
    return fit(Watch(NAMES, 3, (*FIGURES, "histogram"), bins=5), compiled=True)


def test_the_compiled_run_gives_the_same_figures(compiled):
    interpreted, alone = fit(Watch(NAMES, 3, (*FIGURES, "histogram"), bins=5)), fit(None, compiled=True)
    assert compiled.watched.steps.tolist() == [0, 3, 6, 7, 10, 13, 14, 17, 20]
    for name in NAMES:
        for figure, seen in compiled.watched[name].items():
            np.testing.assert_allclose(seen, interpreted.watched[name][figure], rtol=1e-7, atol=1e-12, err_msg=f"{name} {figure}")
    counts = compiled.watched["h1"]["histogram"]
    assert counts.shape == (9, 5) and set(counts.sum(1)) == {64.0, 40.0}, "8 units of 8 points, of 5 in the last batch"
    for a, b in zip(tree_leaves((compiled.model, compiled.history)), tree_leaves((alone.model, alone.history))):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_every_update_is_watched_where_each_is_asked_for():
    run = fit(Watch(["l", "x"], 1, "mean"), compiled=True)
    assert run.watched.steps.tolist() == list(range(21)) and list(run.watched) == ["l", "x"]
    seen = np.reshape(run.watched["l"]["mean"], (3, 7))
    np.testing.assert_allclose(np.average(seen, axis=1, weights=[8] * 6 + [5]), run.history["loss"], rtol=1e-12)


def test_what_is_seen_once_an_epoch_is_in_the_history(tmp_path):
    histories = []
    whole = fit(["h1"], epochs=6, callbacks=[lambda history: histories.append(history["h1.norm"].copy())])
    assert whole.history["h1.zeros"].shape == (6,) and whole.watched.steps.tolist() == [0, 7, 14, 21, 28, 35]
    assert np.array_equal(whole.watched["h1"]["norm"], whole.history["h1.norm"])
    assert [len(seen) for seen in histories] == [1, 2, 3, 4, 5, 6]
    fit(["h1"], epochs=3, folder=tmp_path / "run")
    longer = fit(["h1"], epochs=6, resume=tmp_path / "run")
    assert all(longer.history[name].tobytes() == seen.tobytes() for name, seen in whole.history.items())
    assert "h1.norm" in (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0].split(",")


def test_columns_of_several_numbers_are_gone_on_with(tmp_path):
    wanted = Watch(["dl/df0"], 2, ("norm", "histogram"), bins=3)
    whole, part = fit(wanted, epochs=4), fit(wanted, epochs=2)
    part.save(tmp_path / "part")
    longer = fit(wanted, epochs=4, resume=tmp_path / "part")
    assert list(longer.history) == ["loss"] and longer.watched.steps.tolist() == whole.watched.steps.tolist()
    for figure, seen in whole.watched["dl/df0"].items():
        assert longer.watched["dl/df0"][figure].tobytes() == seen.tobytes()


def test_a_run_that_is_not_watched_is_the_same_program(monkeypatch):
    def never(*args):
        raise AssertionError

    monkeypatch.setattr(program, "values_of", never)
    net = NET.init(0)
    how = program.Settings(cross_entropy, optim.Adam(), batch=8, shuffle=True, length=2, stopping=None)
    carry = program.start(net, how, random.key(0))
    graph = rg.trace(program.make_program(how))(carry, X, LABELS, None, None, None, np.int64(2))
    assert len(graph.outputs) == len(tree_leaves(carry)) + 2, "the loss and the points, nothing else"


def test_own_variables_and_buffers():
    class Net(nn.Module):
        dynamic = ("first", "second")

        def __init__(self):
            self.first, self.second = nn.Linear(4, 5), nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 3))

        def __call__(self, x, key=None):
            squares = np.square(self.first(x, key=key))
            return self.second(squares, key=key)

    run = fit(["squares", "dl/dsquares", "dl/dfirst.weight", "second.0.weight"], net=Net())
    record = run.explore(7)
    assert run.watched["squares"]["mean"][1] == pytest.approx(np.mean(record["squares"].value), rel=1e-12)
    assert run.watched["dl/dsquares"]["norm"][1] == pytest.approx(np.linalg.norm(record["squares"].cotangent), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-40, 40), min_size=1, max_size=60), st.sampled_from([1, 2, 4, 8]))
def test_histograms_are_numpys(numbers, bins):
    x = np.append(np.array(numbers) / 4.0, [20.0, -12.0])  # a range of 32: the edges of the bins are exact
    assert np.array_equal(histogram(x, bins), np.histogram(x, bins)[0])


def test_histograms_of_one_number_and_of_none():
    assert histogram(np.full((2, 3), 1.5), 4).tolist() == [6, 0, 0, 0]
    assert histogram(np.array([1.0, np.nan]), 4).sum() == 0


def test_an_epoch_that_was_cut_short_has_what_was_seen():
    watch = Watch(["l"], 2, "norm")
    rows = {"seen": np.array([20.0, 8.0]), "l.norm": np.array([[1.0, 2.0, 3.0], [4.0, 0.0, 0.0]])}
    seen = Watched(watch, rows, batch=4, points=20)
    assert seen.steps.tolist() == [0, 2, 4, 5] and seen["l"]["norm"].tolist() == [1, 2, 3, 4]
    assert len(seen) == 1 and "4 updates" in repr(seen)
    with pytest.raises(KeyError, match="was not watched"):
        seen["h1"]


@pytest.mark.parametrize(("changes", "says"), [
    ({"watch": ["h7"]}, "no value is called 'h7'; there are 0.weight"), ({"watch": ["update/h1"]}, "is no parameter"),
    ({"watch": ["dl/dx"]}, "depends on no parameter"), ({"watch": 3}, "names of values"), ({"watch": []}, "names of values"),
    ({"watch": ["h1"], "precision": "bf16", "dtype": np.float32}, "leave precision"),
    ({"watch": ["h1"], "callbacks": [Every(2, print)]}, "without Every"), ({"watch": ["h1"], "chunk_rows": 20}, "in memory"),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_what_cannot_be_watched(changes, says):
    with pytest.raises(ModelError, match=says):
        fit(**changes)


@pytest.mark.parametrize(("changes", "says"), [
    ({"every": 0}, "every is"), ({"every": "step"}, "every is"), ({"statistics": ["median"]}, "statistics are of"),
    ({"bins": 0}, "bins is"), ({"names": ["h1", "h1"]}, "each once"), ({"statistics": ()}, "statistics are of"),
])  # fmt: skip
def test_settings_that_are_none(changes, says):
    with pytest.raises(ModelError, match=says):
        Watch(**({"names": ["h1"]} | changes))


def test_a_single_name_may_be_given_alone():
    assert Watch("h1").names == ("h1",) and Watch("h1", statistics="histogram").statistics == ("min", "max", "histogram")
    assert tree_map(len, dict(fit("h1", epochs=2).watched["h1"])) == dict.fromkeys(FIGURES, 2)
