"""Metrics under scikit-learn's names: inside the program or between epochs, the values are scikit-learn's own."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

import retrograde as rg
from retrograde import nn, optim
from retrograde.errors import DataError, DivergenceWarning, ModelError
from retrograde.nn.losses import binary_cross_entropy, cross_entropy, hinge, mse
from retrograde.train import EarlyStopping
from retrograde.train.metrics import get_metrics

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
LABELS = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
CLASSIFIER = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
OF_CLASSES = ["accuracy", "balanced_accuracy", *(f"{figure}_{average}" for figure in ("f1", "precision", "recall", "jaccard")
                                                 for average in ("micro", "macro", "weighted"))]  # fmt: skip
OF_TWO = [*OF_CLASSES, "f1", "precision", "recall", "jaccard"]


def scorers(names, loss, y, outputs):
    """Ours, and scikit-learn's for the predicted labels."""
    found = get_metrics(names, loss, y, outputs[:1], len(y))
    assert all(m.traced for m in found)
    return found


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(1, 12))
def test_scores_of_labels_are_scikit_learns(seed, classes, n):
    rng = np.random.default_rng(seed)
    y, outputs = rng.integers(0, classes, n), rng.integers(0, 3, (n, classes)).astype(np.float32)
    for metric in scorers(OF_CLASSES, cross_entropy, y, outputs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # classes that do not occur
            scorer = sk.get_scorer(metric.name)
            wanted = scorer._score_func(y, outputs.argmax(1), **scorer._kwargs)
        assert metric(y, outputs) == pytest.approx(wanted, abs=1e-12), metric.name


@pytest.mark.parametrize(("loss", "low"), [(binary_cross_entropy, 0), (hinge, -1)])
def test_scores_of_two_classes_in_one_column(loss, low):
    y = RNG.choice([low, 1], (30, 1)).astype(np.float32)
    outputs = RNG.normal(size=(30, 1)).astype(np.float32)
    labels = np.where(outputs > 0, 1, low)
    for metric in scorers(OF_TWO, loss, y, outputs):
        scorer = sk.get_scorer(metric.name)
        wanted = scorer._score_func(y[:, 0], labels[:, 0], **scorer._kwargs)
        assert metric(y, outputs) == pytest.approx(wanted, abs=1e-12), metric.name
    area = get_metrics(["roc_auc", "neg_brier_score"], loss, y, outputs[:1], 30)
    assert not area[0].traced and area[0](y, outputs) == pytest.approx(sk.roc_auc_score(y, outputs))
    if loss is binary_cross_entropy:
        assert area[1](y, outputs) == pytest.approx(-sk.brier_score_loss(y[:, 0], 1 / (1 + np.exp(-outputs[:, 0]))), rel=1e-6)


@pytest.mark.parametrize("columns", [1, 3])
def test_scores_of_values(columns):
    y, outputs = RNG.normal(size=(2, 20, columns)).astype(np.float32)
    y[:, -1] = 2.0 if columns > 1 else y[:, -1]
    r2, mse_, mae_, nmse, nrmse, nmae = scorers(
        ["r2", "mse", "mae", "neg_mean_squared_error", "neg_root_mean_squared_error", "neg_mean_absolute_error"], mse, y, outputs
    )
    assert r2(y, outputs) == pytest.approx(sk.r2_score(y, outputs), rel=1e-6)
    assert mse_(y, outputs) == -nmse(y, outputs) == pytest.approx(sk.mean_squared_error(y, outputs), rel=1e-6)
    assert mae_(y, outputs) == -nmae(y, outputs) == pytest.approx(sk.mean_absolute_error(y, outputs), rel=1e-6)
    assert nrmse(y, outputs) == pytest.approx(-sk.root_mean_squared_error(y, outputs), rel=1e-6)
    (outside,) = get_metrics(["explained_variance"], mse, y, outputs[:1], 20)
    assert not outside.traced and outside(y, outputs) == pytest.approx(sk.explained_variance_score(y, outputs))


def test_top_k_with_ties():
    y, outputs = RNG.integers(0, 5, 200), RNG.integers(0, 4, (200, 5)).astype(np.float32)
    for k, metric in zip((2, 3, 1), scorers(["top_k_accuracy", "top_3_accuracy", "top_1_accuracy"], cross_entropy, y, outputs)):
        assert metric(y, outputs) == pytest.approx(sk.top_k_accuracy_score(y, outputs, k=k, labels=range(5)))


def share_of_zero(target, labels):
    return np.mean(labels == 0)


def kappa(target, labels):
    return sk.cohen_kappa_score(target, labels)


def train(**changes):
    given = {"loss": "cross_entropy", "validation": 0.25, "epochs": 3, "batch_size": 16, "optimizer": optim.Adam(0.02), "seed": 1}
    return rg.fit(CLASSIFIER, (X, LABELS), **(given | changes))


def test_columns_of_a_run_are_the_metrics_of_its_parameters():
    names = ["f1_macro", "neg_log_loss", "top_2_accuracy", share_of_zero, kappa]
    run = train(metrics=names, train_metrics=True, validation=(X[:20], LABELS[:20]))
    each = ["accuracy", "f1_macro", "neg_log_loss", "top_2_accuracy", "share_of_zero", "kappa"]
    assert list(run.history) == ["loss", *each, "val_loss", *(f"val_{name}" for name in each)]
    for prefix, x, y in (("", X, LABELS), ("val_", X[:20], LABELS[:20])):
        outputs = run.model(x.astype(np.float32))
        labels, log_p = outputs.argmax(1), rg.numpy.log_softmax(outputs)
        for name, wanted in (
            ("accuracy", np.mean(labels == y)), ("f1_macro", sk.f1_score(y, labels, average="macro")),
            ("neg_log_loss", np.mean(log_p[np.arange(len(y)), y])), ("kappa", kappa(y, labels)),
            ("top_2_accuracy", sk.top_k_accuracy_score(y, outputs)), ("share_of_zero", np.mean(labels == 0)),
        ):  # fmt: skip
            assert run.history[prefix + name].shape == (3,)
            assert run.history[prefix + name][-1] == pytest.approx(wanted, rel=1e-5), prefix + name


def test_metrics_change_no_bit_of_the_training_and_starts_have_them_too():
    plain, many = train(), train(metrics=["f1_macro", kappa], starts=2)
    first = min(many.starts, key=lambda run: run.seed)
    assert first.history["loss"].tobytes() == plain.history["loss"].tobytes()
    alone = train(metrics=["f1_macro", kappa])
    assert {k: v.tobytes() for k, v in alone.history.items()} == {k: v.tobytes() for k, v in first.history.items()}


@pytest.mark.parametrize("monitor", ["val_f1_macro", "val_matthews_corrcoef", "loss"])
def test_early_stopping_by_any_column(monitor):
    mode, optimizer = ("min", optim.SGD(3.0)) if monitor == "loss" else ("max", optim.Adam(0.1))
    changes = {"metrics": ["f1_macro", "matthews_corrcoef"], "compiled": False, "epochs": 40, "optimizer": optimizer}
    whole = train(**changes)
    run = train(early_stopping={"patience": 3, "monitor": monitor}, **changes)
    values = whole.history[monitor] * (1 if mode == "min" else -1)
    best = 0
    for e in range(len(values)):  # the plain loop
        best = e if values[e] < values[best] else best
        if e - best == 3:
            break
    assert run.best_epoch == best + 1 and run.epochs == e + 1 < 40
    assert run.history[monitor].tobytes() == whole.history[monitor][: e + 1].tobytes()
    assert run.score == values[best] and ("val_" not in monitor or monitor in run.summary())
    until = train(**changes | {"epochs": best + 1})
    assert [a.tobytes() for a in rg.tree.tree_leaves(until.model)] == [a.tobytes() for a in rg.tree.tree_leaves(run.model)]


def test_min_delta_counts_what_is_worth_waiting_for():
    """Full-batch descent improves in each epoch, but less than 10 each time."""
    stopping = EarlyStopping(4, "loss", min_delta=10.0)
    run = train(batch_size=None, early_stopping=stopping, validation=None, epochs=20, compiled=False)
    assert run.epochs == 5 and run.best_epoch == 5, "the first epoch betters infinity"


def test_a_diverged_run_has_nan_where_nothing_can_be_measured():
    with pytest.warns(DivergenceWarning, match=r"diagnose\(\)"):
        run = train(metrics=["neg_log_loss"], optimizer=optim.SGD(1e38), epochs=2)
    assert np.isnan(run.history["val_neg_log_loss"]).all()


@pytest.mark.parametrize(("changes", "error", "says"), [
    ({"metrics": ["f1_makro"]}, ModelError, "mean 'f1_macro'"), ({"metrics": ["f1"]}, ModelError, "two classes, here are 3"),
    ({"metrics": ["r2"]}, ModelError, "compares numbers"), ({"metrics": ["r2"], "validation": None}, ModelError, "validation="),
    ({"metrics": [lambda t, f: 0.0]}, ModelError, "by def"), ({"metrics": ["f1_macro", "f1_macro"]}, ModelError, "two columns"),
    ({"metrics": [share_of_zero], "early_stopping": {"patience": 1, "monitor": "val_share_of_zero"}}, ModelError, "wants mode"),
    ({"early_stopping": {"patience": 1, "monitor": "val_f2"}}, ModelError, "can watch"),
    ({"early_stopping": {"patience": 1, "mode": "up"}}, ModelError, "mode is"),
    ({"early_stopping": {"wait": 1}}, ModelError, "takes patience"),
    ({"early_stopping": {"patience": 1, "min_delta": -1}}, ModelError, "min_delta"),
    ({"early_stopping": 0}, ModelError, "at least 1"), ({"metrics": ["roc_auc"]}, ModelError, "roc_auc"),
    ({"loss": nn.CrossEntropyLoss(ignore_index=-1), "metrics": ["accuracy"], "labels": LABELS - 1}, DataError, "labels 0 to 2"),
])  # fmt: skip
def test_what_cannot_be_measured_or_watched(changes, error, says):
    labels = changes.pop("labels", LABELS)
    given = {"loss": "cross_entropy", "validation": 0.25, "epochs": 1, "compiled": False}
    with pytest.raises(error, match=says):
        rg.fit(CLASSIFIER, (X, labels), **(given | changes))


def test_functions_of_outputs_by_name():
    metrics = {"margin": lambda outputs, y: np.mean(np.max(outputs, axis=1)), "accuracy": lambda outputs, y: 0.5}
    run = train(metrics=metrics, validation=(X, LABELS))
    assert list(run.history) == ["loss", "val_loss", "val_margin", "val_accuracy"] and (run.history["val_accuracy"] == 0.5).all()
    assert run.history["val_margin"][-1] == pytest.approx(np.mean(np.max(run.model(X.astype(np.float32)), axis=1)), rel=1e-6)


def test_metrics_that_were_given_alike_are_equal():
    """So that programs of equal settings can be told to be equal."""
    y, outputs = LABELS, np.zeros((1, 3), np.float32)
    names = ["f1_macro", kappa, "roc_auc_ovr"]
    assert get_metrics(names, cross_entropy, y, outputs, 60) == get_metrics(names, cross_entropy, y, outputs, 60)
    assert get_metrics(names, cross_entropy, y, outputs, 60) != get_metrics(names[:2], cross_entropy, y, outputs, 60)
    assert hash(get_metrics(names, cross_entropy, y, outputs, 60)) == hash(get_metrics(names, cross_entropy, y, outputs, 60))
