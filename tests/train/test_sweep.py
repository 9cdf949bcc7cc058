"""`sweep`: what is tried, what is made of it, and that nothing of it is lost."""

import itertools
import json

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, optim
from retrograde.errors import ModelError, ModelFileError
from retrograde.train import Programs, program
from retrograde.train.lock import locked
from scipy import stats

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 2))
Y = X[:, :1] * X[:, 1:]
NET = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1))
SPACE = {"lr": stats.loguniform(1e-3, 1e-1), "width": [2, 3]}


def fit(lr, epochs=2, l2=0.0, **how):
    return rg.fit(NET, (X, Y), optimizer=optim.Adam(lr), epochs=epochs, l2=l2, validation=(X, Y), **how)


def bowl(lr, width=2):
    return (np.log10(lr) + 2) ** 2 + width


def tried(sweep):
    return [(trial.parameters, trial.seed, trial.score, trial.state) for trial in sweep]


def test_a_grid_is_all_combinations_in_order():
    sweep = rg.sweep(bowl, {"lr": np.array([0.1, 0.01]), "width": (2, 3)}, method="grid")
    assert [tuple(t.parameters.values()) for t in sweep] == [(0.1, 2), (0.1, 3), (0.01, 2), (0.01, 3)]
    assert {type(t.parameters["lr"]) for t in sweep} == {float}  # NumPy's would widen float32
    assert [t.number for t in sweep.ranked] == [2, 0, 3, 1] and sweep.best.parameters == {"lr": 0.01, "width": 2}
    assert len(rg.sweep(bowl, {"lr": [0.1, 0.01]}, method="grid", trials=1)) == 1


def test_draws_are_those_of_the_seed_and_a_longer_sweep_begins_with_them():
    short, long, other = (rg.sweep(bowl, SPACE, trials=n, seed=seed) for n, seed in ((5, 1), (9, 1), (5, 2)))
    assert tried(long)[:5] == tried(short) and tried(other) != tried(short)
    assert len({t.seed for t in long}) == 9 and {t.parameters["width"] for t in long} == {2, 3}
    rates = [t.parameters["lr"] for t in rg.sweep(bowl, SPACE, trials=200)]
    assert stats.kstest(np.log10(rates), stats.uniform(-3, 2).cdf).pvalue > 1e-3


def test_of_lists_alone_each_combination_comes_once():
    sweep = rg.sweep(lambda a, b: a + b, {"a": range(3), "b": [0, 10]}, trials=50)
    assert sorted(t.score for t in sweep) == sorted(a + b for a, b in itertools.product(range(3), [0, 10]))


def test_trials_are_runs_like_others_and_share_a_program(monkeypatch):
    traced, whole = [], program.make_program
    monkeypatch.setattr("retrograde.train.driver.make_program", lambda settings: traced.append(settings) or whole(settings))
    programs = Programs()
    sweep = rg.sweep(fit, {"lr": np.geomspace(1e-3, 1e-1, 4), "l2": [0.01, 0.1]}, method="grid", compiled=programs)
    assert len(sweep) == 8 and len(traced) == len(programs) == 1
    trial = sweep.best
    alone = fit(**trial.parameters, seed=trial.seed)
    assert alone.score == trial.score == min(t.score for t in sweep)
    assert trial.epochs == 2 and trial.figures == {name: values[-1] for name, values in alone.history.items()}
    for a, b in zip(rg.tree.tree_leaves(alone.model), rg.tree.tree_leaves(trial.run.model)):
        np.testing.assert_array_equal(a, b)


def test_the_best_trial_alone_holds_its_points():
    sweep = rg.sweep(fit, {"lr": [0.01, 0.1, 1e-3]}, method="grid", compiled=False)
    for trial in sweep:
        assert trial.run.epochs == 2 and (trial.run.replay is not None) == (trial is sweep.best)


def test_a_sweep_is_a_table():
    sweep = rg.sweep(fit, {"lr": [0.1, 0.01], "epochs": [1, 3]}, method="grid", compiled=False)
    frame = sweep.to_frame()
    assert list(frame["trial"]) == [t.number for t in sweep.ranked] and frame["score"].is_monotonic_increasing
    assert {"param_lr", "param_epochs", "epochs", "val_loss", "seed", "state"} <= set(frame)
    lines = str(sweep).splitlines()
    assert lines[0] == "4 trials" and {"trial", "lr", "val_loss"} <= set(lines[2].split()) and len(lines) == 8
    assert len(sweep.table(2).rows) == 2


def test_best_epoch_and_many_starts_count(tmp_path):
    def train(lr, seed):
        return rg.fit(NET, (X, Y), optimizer=optim.SGD(lr), epochs=4, validation=(X, -Y), early_stopping=1, starts=2, seed=seed)

    (trial,) = rg.sweep(train, {"lr": [0.3]}, method="grid")
    assert trial.figures["val_loss"] == trial.score == trial.run.history["val_loss"].min()


def test_the_function_is_given_what_it_has_arguments_for():
    given = []
    rg.sweep(lambda lr, seed: given.append(seed) or lr, {"lr": [1]}, seed=7)
    rg.sweep(lambda lr, **how: given.append(sorted(how)) or lr, {"lr": [1], "seed": [3]})
    rg.sweep(lambda lr, compiled: given.append(compiled) or lr, {"lr": [1]}, compiled=False)
    (own, names, compiled) = given
    assert own == rg.sweep(bowl, {"lr": [1]}, seed=7).trials[0].seed and names == ["callbacks", "compiled", "seed"]
    assert compiled is False


def test_a_failing_trial_is_recorded_and_the_sweep_goes_on():
    def train(kind):
        if kind == "unknown":
            return rg.fit(NET, (X, Y), optimizer="adamm", compiled=False)
        if kind == "nan":
            return rg.fit(NET, (X * 1e30, Y), optimizer=optim.SGD(1e30), epochs=4, compiled=False)
        return 1 / (kind == "good")

    with np.errstate(all="ignore"):
        sweep = rg.sweep(train, {"kind": ["unknown", "nan", "bad", "good"]}, method="grid")
    assert [t.state for t in sweep] == ["failed", "diverged", "failed", "done"]
    assert "adamm" in sweep.trials[0].error and sweep.trials[2].error.startswith("ZeroDivisionError")
    assert sweep.best.number == 3 and str(sweep).startswith("4 trials, 3 without a score\n")
    with pytest.raises(ModelError, match="none was done; trial 0: ModelError: no optimizer"):
        rg.sweep(train, {"kind": ["unknown"]}).best  # noqa: B018
    with pytest.raises(ZeroDivisionError):  # the first call: the function is at fault
        rg.sweep(train, {"kind": ["bad", "good"]}, method="grid")


def test_ctrl_c_returns_the_trials_so_far_and_the_folder_goes_on(tmp_path):
    def interrupted(lr, width):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(lr)
        return bowl(lr, width)

    calls = []
    first = rg.sweep(interrupted, SPACE, trials=6, folder=tmp_path)
    assert first.interrupted and len(first) == 3 and ", interrupted" in str(first)
    again = rg.sweep(bowl, SPACE, trials=6, folder=tmp_path, resume=True)
    assert tried(again) == tried(rg.sweep(bowl, SPACE, trials=6)) and not again.interrupted
    assert len((tmp_path / "sweep.jsonl").read_text().splitlines()) == 1 + 6


def test_a_run_that_ctrl_c_ended_is_in_the_sweep_but_not_in_the_folder(tmp_path):
    def press(history):
        if len(history["loss"]) == 2:
            raise KeyboardInterrupt

    sweep = rg.sweep(lambda lr: fit(lr, 3, compiled=False, callbacks=[press]), {"lr": [0.1, 0.2]}, folder=tmp_path)
    assert [t.state for t in sweep] == ["interrupted"] and sweep.interrupted and sweep.trials[0].run.epochs == 2
    assert len((tmp_path / "sweep.jsonl").read_text().splitlines()) == 1


def test_the_folder_has_a_line_a_trial_and_the_best_run(tmp_path):
    def train(lr, **how):
        return fit(lr, 1, **how) if lr < 1 else np.nan

    space = {"lr": [0.2, 0.1, 2.0, 0.3]}
    sweep = rg.sweep(train, space, method="grid", folder=tmp_path / "new", keep_runs=False)
    assert [t.run is not None for t in sweep] == [t is sweep.best for t in sweep]
    net, extra = rg.load(tmp_path / "new" / "best.safetensors")
    np.testing.assert_array_equal(net(X), sweep.best.run.model(X))
    assert extra == {"trial": sweep.best.number, "parameters": sweep.best.parameters}
    lines = [json.loads(line) for line in (tmp_path / "new" / "sweep.jsonl").read_text().splitlines()]
    assert lines[0]["space"] == space and lines[3]["score"] is None and lines[3]["state"] == "diverged"
    again = rg.sweep(train, space, method="grid", folder=tmp_path / "new", resume=True)  # nothing is trained again
    assert all(t.run is None for t in again) and str(again) == str(sweep)


def test_what_a_killed_sweep_left_of_a_line_is_done_again(tmp_path):
    rg.sweep(bowl, SPACE, trials=4, folder=tmp_path)
    file = tmp_path / "sweep.jsonl"
    file.write_text(file.read_text()[:-20])
    assert tried(rg.sweep(bowl, SPACE, trials=4, folder=tmp_path, resume=True)) == tried(rg.sweep(bowl, SPACE, trials=4))
    assert len([json.loads(line) for line in file.read_text().splitlines()]) == 5


def test_a_folder_goes_on_where_a_parameter_is_infinite(tmp_path):
    space = {"clip": [1.0, np.inf, np.nan], "lr": [0.1]}

    def train(clip, lr):
        return lr if np.isinf(clip) else 1.0

    rg.sweep(train, space, method="grid", folder=tmp_path, trials=2)
    again = rg.sweep(train, space, method="grid", folder=tmp_path, resume=True)
    assert again.best.parameters == {"clip": np.inf, "lr": 0.1} and len(again) == 3


def test_one_sweep_a_folder(tmp_path):
    with locked(tmp_path), pytest.raises(ModelError, match="is training in"):
        rg.sweep(bowl, SPACE, trials=1, folder=tmp_path, resume=True)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_another_sweep_is_refused(tmp_path):
    rg.sweep(bowl, SPACE, trials=2, folder=tmp_path)
    with pytest.raises(ModelError, match="holds a sweep already"):
        rg.sweep(bowl, SPACE, trials=2, folder=tmp_path)
    with pytest.raises(ModelError, match="another sweep"):
        rg.sweep(bowl, {**SPACE, "lr": stats.loguniform(1e-3, 1)}, folder=tmp_path, resume=True)
    with pytest.raises(ModelError, match="another sweep"):
        rg.sweep(bowl, SPACE, seed=1, folder=tmp_path, resume=True)
    file = tmp_path / "sweep.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text(lines[0] + lines[1].replace('"width": ', '"width": 1'))
    with pytest.raises(ModelError, match="trial 0 of the folder"):
        rg.sweep(bowl, SPACE, folder=tmp_path, resume=True)
    file.write_text(lines[0] + "{}\n")
    with pytest.raises(ModelFileError, match="damaged"):
        rg.sweep(bowl, SPACE, folder=tmp_path, resume=True)
    with pytest.raises(ModelError, match="give the folder"):
        rg.sweep(bowl, SPACE, resume=True)


@pytest.mark.parametrize(("space", "how", "said"), [
    ({}, {}, "dict of values"), ([0.1], {}, "dict of values"), ({"lr": []}, {}, "list of values"),
    ({"lr": 0.1}, {}, "list of values"), ({"lr": "adam"}, {}, "list of values"), ({"lr": np.array(0.1)}, {}, "list of values"),
    (SPACE, {"method": "grid"}, "geomspace"), ({"lr": [1]}, {"method": "bayes"}, '"optuna"'),
    ({"lr": [1]}, {"pruner": 1}, "Optuna's"), ({"lr": [1]}, {"trials": 0}, "trials"), ({"lr": [1]}, {"seed": -1}, "seed"),
])  # fmt: skip
def test_what_does_not_fit_is_told(space, how, said):
    with pytest.raises(ModelError, match=said):
        rg.sweep(bowl, space, **how)


@pytest.mark.parametrize("returned", [None, True, "0.1", NET, [1.0]])
def test_a_function_returns_a_run_or_a_number(returned):
    with pytest.raises(ModelError, match="number, lower is better"):
        rg.sweep(lambda lr: returned, {"lr": [1]})
    later = rg.sweep(lambda lr: returned if lr else 0.0, {"lr": [0, 1]}, method="grid")  # too late to lose what there is
    assert [t.state for t in later] == ["done", "failed"] and "no Run" in later.trials[1].error


def test_progress_is_shown(capsys):
    rg.sweep(bowl, {"lr": [0.01]}, progress=True)
    assert "best 2, trial 0" in capsys.readouterr().out


def test_without_optuna_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(ImportError, match=r"retrograde\[optuna\]"):
        rg.sweep(bowl, SPACE, method="optuna")


def test_optuna_finds_what_is_good_and_goes_on_in_a_folder(tmp_path):
    pytest.importorskip("optuna")
    space = {**SPACE, "layer": [nn.ReLU(), nn.Tanh()], "steps": stats.randint(1, 4)}

    def train(lr, width, layer, steps):
        return bowl(lr, width) + isinstance(layer, nn.ReLU) + (steps - 3) ** 2

    whole = rg.sweep(train, space, trials=40, method="optuna")
    assert whole.best.score < 2.5 and {t.parameters["steps"] for t in whole} == {1, 2, 3}
    rg.sweep(train, space, trials=15, method="optuna", folder=tmp_path)
    longer = rg.sweep(train, space, trials=40, method="optuna", folder=tmp_path, resume=True)
    assert [(t.score, t.parameters["lr"]) for t in longer] == [(t.score, t.parameters["lr"]) for t in whole]
    with pytest.raises(ModelError, match="uniform, loguniform"):
        rg.sweep(bowl, {"lr": stats.norm()}, method="optuna")


def test_a_pruner_stops_trials_and_hears_of_those_in_a_folder(tmp_path):
    optuna = pytest.importorskip("optuna")
    how = {"method": "optuna", "seed": 3, "compiled": False}

    def pruner():
        return optuna.pruners.MedianPruner(n_startup_trials=3)

    def train(lr, **how):
        return fit(lr, 5, **how)

    space = {"lr": stats.loguniform(1e-5, 1e-1)}
    whole = rg.sweep(train, space, trials=12, pruner=pruner(), **how)
    pruned = [t for t in whole if t.state == "pruned"]
    assert pruned and all(t.epochs == len(t.curve) for t in whole) and min(t.epochs for t in pruned) < 5
    assert whole.best.state == "done" and {t.state for t in whole.ranked[-len(pruned) :]} == {"pruned"}
    rg.sweep(train, space, trials=7, pruner=pruner(), folder=tmp_path, **how)
    assert tried(rg.sweep(train, space, trials=12, pruner=pruner(), folder=tmp_path, resume=True, **how)) == tried(whole)
