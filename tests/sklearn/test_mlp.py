"""`MLPClassifier` and `MLPRegressor` against scikit-learn's own: the same numbers, step by step; and what it lacks."""

import numpy as np
import pytest
from sklearn import neural_network
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression
from sklearn.exceptions import ConvergenceWarning

from retrograde import sklearn as ours
from retrograde.errors import DataError, DivergenceWarning, ModelError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
C, R = "MLPClassifier", "MLPRegressor"
X, MANY = make_classification(90, 6, n_informative=4, n_classes=3, random_state=0)
TWO = MANY == 1
Z, BITS = make_multilabel_classification(90, 6, n_classes=3, random_state=0)
_, VALUES = make_regression(90, 6, n_targets=2, random_state=0)
VALUES = VALUES / 50.0
WORDS = np.array(["ash", "beech", "elm"])[MANY]
FIXED = {"random_state": 1, "shuffle": False, "hidden_layer_sizes": (5, 4), "max_iter": 8, "batch_size": 32}
ATTRIBUTES = ("loss_", "t_", "n_iter_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_")
OF_DESCENT = ("best_loss_", "loss_curve_", "validation_scores_", "best_validation_score_")


def pair(name, **settings):
    return [getattr(place, name)(**{**FIXED, **settings}) for place in (neural_network, ours)]


def same(theirs, mine, X, tolerance=1e-9):
    for a, b in zip(theirs.coefs_ + theirs.intercepts_, mine.coefs_ + mine.intercepts_, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    for name in ATTRIBUTES + (OF_DESCENT if theirs.solver != "lbfgs" else ()):
        wanted, found = getattr(theirs, name), getattr(mine, name)
        if isinstance(wanted, str) or wanted is None:
            assert found == wanted, name
        else:
            np.testing.assert_allclose(found, wanted, rtol=1e-6, err_msg=name)
    if hasattr(theirs, "predict_proba"):
        np.testing.assert_array_equal(theirs.predict(X), mine.predict(X))
        np.testing.assert_array_equal(theirs.classes_, mine.classes_)
        np.testing.assert_allclose(theirs.predict_proba(X), mine.predict_proba(X), atol=1e-6)
        np.testing.assert_allclose(theirs.predict_log_proba(X), mine.predict_log_proba(X), atol=1e-5)
    else:
        np.testing.assert_allclose(theirs.predict(X), mine.predict(X), rtol=1e-5, atol=1e-6)


STOPPING = {"early_stopping": True, "max_iter": 40, "n_iter_no_change": 3, "tol": 1e-2, "validation_fraction": 0.2}
GOOD_RATE = {"solver": "sgd", "learning_rate_init": 0.1, "momentum": 0.8}
CASES = {
    "many classes": (C, X, MANY, {}),
    "two classes": (C, X, TWO, {"alpha": 0.3, "batch_size": "auto"}),
    "words": (C, X, WORDS, {"activation": "tanh"}),
    "multilabel": (C, Z, BITS, {"activation": "logistic"}),
    "validated": (C, X, MANY, STOPPING),
    "two validated": (C, X, TWO, STOPPING),
    "loss stalls": (C, X, MANY, {"tol": 0.03, "n_iter_no_change": 2, "max_iter": 60}),
    "momentum": (C, X, TWO, {**GOOD_RATE, "nesterovs_momentum": False}),
    "adaptive": (C, X, TWO, {**GOOD_RATE, "learning_rate": "adaptive", "tol": 0.03, "n_iter_no_change": 1, "max_iter": 40}),
    "invscaling": (R, X, VALUES, {**GOOD_RATE, "learning_rate": "invscaling", "power_t": 0.3}),
    "values": (R, X, VALUES[:, 0], {"activation": "identity", "alpha": 0.0}),
    "values validated": (R, X, VALUES, STOPPING),
    "counts": (R, X, np.round(np.exp(VALUES[:, 0] / 4)), {"loss": "poisson"}),
    "lbfgs": (C, X, MANY, {"solver": "lbfgs"}),
    "lbfgs of values": (R, X, VALUES[:, 0], {"solver": "lbfgs", "activation": "tanh"}),
}


@pytest.mark.parametrize("case", CASES)
def test_it_follows_scikit_learn_step_by_step(case):
    name, X, y, settings = CASES[case]
    theirs, mine = pair(name, **settings)
    same(theirs.fit(X, y), mine.fit(X, y), X, tolerance=1e-6 if "lbfgs" in case else 1e-9)


@pytest.mark.parametrize("settings", [{"n_iter_no_change": 2, "max_iter": 20}, STOPPING])
def test_by_an_infinite_tolerance_no_epoch_after_the_first_is_better(settings):
    theirs, _ = pair(C, **{**settings, "tol": np.finfo(float).max})
    _, mine = pair(C, **{**settings, "tol": np.inf})
    same(theirs.fit(X, MANY), mine.fit(X, MANY), X)


def test_weights_of_points_and_float32():
    theirs, mine = pair(C)
    weight, narrow = np.linspace(0.1, 2.0, len(X)), X.astype(np.float32)
    same(theirs.fit(narrow, MANY, sample_weight=weight), mine.fit(narrow, MANY, sample_weight=weight), narrow, tolerance=2e-5)


@pytest.mark.parametrize(("name", "y", "settings"), [(C, WORDS, {}), (R, VALUES, {**GOOD_RATE, "learning_rate": "invscaling"})])
def test_partial_fit_goes_on_where_the_last_call_ended(name, y, settings):
    theirs, mine = pair(name, **settings)
    first = {"classes": np.unique(y)} if name == C else {}
    for model in (theirs, mine):
        for part, more in ((slice(0, 50), first), (slice(50, 90), {}), (slice(0, 50), {})):
            model.partial_fit(X[part], y[part], **more)
    same(theirs, mine, X)


def test_partial_fit_says_what_it_wants():
    model = ours.MLPClassifier(hidden_layer_sizes=3)
    with pytest.raises(DataError, match="classes must be passed on the first call"):
        model.partial_fit(X, MANY)
    model.partial_fit(X, TWO, classes=[False, True])
    with pytest.raises(DataError, match="classes"):
        model.partial_fit(X, MANY)
    with pytest.raises(DataError, match="not the same as on the last call"):
        model.partial_fit(X, TWO, classes=[0, 1, 2])
    with pytest.raises(ModelError, match="early_stopping"):
        ours.MLPRegressor(early_stopping=True).partial_fit(X, VALUES)
    assert not hasattr(ours.MLPRegressor(solver="lbfgs"), "partial_fit")


def test_warm_start_goes_on():
    warm = ours.MLPClassifier(**{**FIXED, "warm_start": True, "max_iter": 4})
    first = warm.fit(X, MANY).loss_
    assert warm.fit(X, MANY).loss_ < first
    assert len(warm.loss_curve_) == 8
    assert (warm.n_iter_, warm.t_) == (4, 8 * len(X))
    with pytest.raises(DataError, match="classes"):
        warm.fit(X, TWO)
    with pytest.raises(ModelError, match="warm_start"):
        warm.set_params(hidden_layer_sizes=(6,)).fit(X, MANY)


def test_it_warns_when_epochs_run_out_and_only_then():
    model = ours.MLPClassifier(**{**FIXED, "max_iter": 2})
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\)"):
        model.fit(X, MANY)
    with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge"):
        ours.MLPRegressor(solver="lbfgs", hidden_layer_sizes=3, max_iter=1).fit(X, VALUES)
    with pytest.warns(UserWarning, match="batch_size"):
        model.set_params(batch_size=1000).fit(X, MANY)


def test_verbose_tells_every_epoch(capsys):
    model = ours.MLPClassifier(**{**FIXED, **STOPPING, "verbose": True, "max_iter": 2}).fit(X, MANY)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Iteration 1, loss = {model.loss_curve_[0]:.8f}"
    assert lines[3] == f"Validation score: {model.validation_scores_[1]:f}"


def test_starts_keep_the_best_and_callbacks_are_told():
    told = []
    settings = {"hidden_layer_sizes": 4, "max_iter": 5, "random_state": 0, "init": "he_normal"}
    model = ours.MLPRegressor(**settings, starts=3, callbacks=[told.append]).fit(X, VALUES)
    assert model.loss_ == min(run.history["loss"][-1] for run in model.run_.starts)
    assert told[-1]["loss"].shape == (3, 5)


def test_dropout_and_class_weights_count():
    settings = {**FIXED, "max_iter": 30, "learning_rate_init": 0.02}
    plain = ours.MLPClassifier(**settings).fit(X, TWO)
    dropped = ours.MLPClassifier(**settings, dropout=0.5).fit(X, TWO)
    assert dropped.loss_curve_[0] != plain.loss_curve_[0]
    rare = np.arange(len(X)) % 10 == 0
    by_hand = np.where(rare, 0.5 / rare.mean(), 0.5 / (1 - rare.mean()))
    rates = [
        ours.MLPClassifier(**settings, class_weight=how).fit(X, rare, sample_weight=weight).predict_proba(X)[:, 1].mean()
        for how, weight in ((None, None), ("balanced", None), (None, by_hand))
    ]
    assert rates[1] > rates[0] + 0.1
    np.testing.assert_allclose(rates[1], rates[2], rtol=1e-6)


def test_any_loss_and_reduced_precision():
    model = ours.MLPRegressor(hidden_layer_sizes=8, max_iter=30, loss="huber", precision="bf16", dtype=np.float32, random_state=0)
    assert model.fit(X, VALUES).coefs_[0].dtype == np.float32
    assert model.loss_ < model.loss_curve_[0]

    def quartic(prediction, target):
        return np.mean((prediction - target) ** 4)

    model = ours.MLPRegressor(hidden_layer_sizes=8, max_iter=30, loss=quartic, random_state=0).fit(X, VALUES)
    assert model.loss_ < model.loss_curve_[0]


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"activation": "swish"}, "activation must be one of"), ({"solver": "newton"}, "solver must be one of"),
        ({"alpha": -1.0}, "alpha must be a number in"), ({"momentum": 1.5}, "momentum must be"),
        ({"max_iter": 0}, "max_iter must be"),
        ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes must be"), ({"batch_size": 0.5}, "batch_size must be"),
        ({"n_iter_no_change": 0}, "n_iter_no_change must be"), ({"dropout": 1.0}, "dropout must be"),
        ({"solver": "lbfgs", "dropout": 0.1}, "takes no dropout"), ({"loss": "log_los"}, "no loss is called"),
    ],
)  # fmt: skip
def test_a_parameter_that_is_none_is_refused(settings, match):
    with pytest.raises(ModelError, match=match):
        ours.MLPClassifier(**settings).fit(X, MANY)


def test_data_that_cannot_be_learned_is_refused():
    with pytest.raises(DataError, match="counts"):
        ours.MLPRegressor(loss="poisson").fit(X, VALUES)
    with pytest.raises(DataError, match="validation set is too small"):
        ours.MLPRegressor(early_stopping=True, validation_fraction=0.01).fit(X, VALUES)
    with pytest.raises(DataError, match="many classes"):
        ours.MLPClassifier().fit(X, np.stack([MANY, MANY], 1))
    with pytest.raises(DataError, match="non-finite parameter weights"), pytest.warns(DivergenceWarning, match="the loss is"):
        ours.MLPRegressor(solver="sgd", learning_rate_init=1e9, max_iter=9, activation="identity").fit(X, VALUES)
