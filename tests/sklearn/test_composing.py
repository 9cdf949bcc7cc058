"""The estimators within scikit-learn: pipelines, searches over processes, copies, pickles, frames; and any network as one."""

import pickle

import numpy as np
import pytest
from sklearn import set_config
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from retrograde import load, nn, optim
from retrograde.errors import ModelError
from retrograde.sklearn import MLPClassifier, MLPRegressor, NeuralClassifier, NeuralRegressor
from retrograde.sklearn.network import BLOCK, CHUNK, outputs_of
from scipy import sparse

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, y = make_classification(120, 5, n_informative=4, n_redundant=0, class_sep=2.0, n_clusters_per_class=1, random_state=0)
values = np.tanh(X @ np.linspace(-1.0, 1.0, 5))
SMALL = {"hidden_layer_sizes": (6,), "max_iter": 20, "random_state": 0, "learning_rate_init": 0.03}


@pytest.fixture(scope="module")
def fitted():
    return MLPClassifier(**SMALL).fit(X, np.array(["no", "yes"])[y])


def test_a_pickle_has_plain_arrays_and_predicts_the_same(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    assert again.run_.program is None
    assert again.run_.summary() == fitted.run_.summary()
    assert again.fit(X, y).classes_.tolist() == [0, 1]


def test_the_network_is_one_of_ours(fitted, tmp_path):
    fitted.network_.save(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(load(tmp_path / "net.safetensors")[0](X), fitted.network_(X))


def test_a_copy_is_not_fitted(fitted):
    copy = clone(fitted)
    assert not hasattr(copy, "network_")
    assert not hasattr(copy, "coefs_")
    assert copy.get_params() == fitted.get_params()


def test_parameters_are_scikit_learns_and_more():
    theirs, mine = TheirClassifier().get_params(), MLPClassifier().get_params()
    assert theirs.items() <= mine.items()


@pytest.mark.slow
def test_a_search_over_two_processes():
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(**SMALL))
    found = GridSearchCV(pipeline, {"mlpclassifier__alpha": [1e-4, 1.0]}, cv=2, n_jobs=2).fit(X, y)
    assert found.best_estimator_.score(X, y) > 0.8


@pytest.mark.slow
def test_scores_of_folds_are_the_same_in_processes_as_in_one():
    model = MLPRegressor(**SMALL)
    np.testing.assert_array_equal(cross_val_score(model, X, values, cv=3, n_jobs=2), cross_val_score(model, X, values, cv=3))


def test_frames_keep_their_names():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcde"))
    model = make_pipeline(StandardScaler().set_output(transform="pandas"), MLPClassifier(**SMALL)).fit(frame, y)
    assert model[-1].feature_names_in_.tolist() == list("abcde")
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"a": "z"}))


def test_sparse_points_are_as_dense_ones(fitted):
    model = MLPClassifier(**SMALL).fit(sparse.csr_array(X), np.array(["no", "yes"])[y])
    np.testing.assert_array_equal(model.predict_proba(sparse.csc_array(X)), fitted.predict_proba(X))


def test_it_is_drawn_in_a_notebook(fitted):
    assert "MLPClassifier" in fitted._repr_html_()
    assert repr(MLPClassifier(alpha=0.5)) == "MLPClassifier(alpha=0.5)"


@pytest.mark.parametrize("count", [1, CHUNK + 1, 2 * BLOCK + CHUNK + 3])
def test_outputs_of_many_points_are_those_of_each(count):
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).init(0, np.float64)
    points = np.random.default_rng(0).normal(size=(count, 3))
    np.testing.assert_allclose(outputs_of(net, points), net(points), rtol=1e-9, atol=1e-12)


def residual(features, outputs):
    return nn.Sequential(nn.Residual(nn.Linear(features, features), nn.Tanh()), nn.Linear(features, outputs))


def test_any_network_is_a_classifier():
    model = NeuralClassifier(residual, optimizer=optim.Adam(0.02), epochs=15, validation=0.25, early_stopping=5, random_state=0)
    model.fit(X, y)
    assert model.score(X, y) > 0.8
    assert set(model.run_.history) == {"loss", "val_loss", "val_score"}
    np.testing.assert_allclose(model.predict_proba(X).sum(1), 1.0)
    pickle.loads(pickle.dumps(model)).predict(X)


@pytest.mark.parametrize("metrics", ["mse", ["mse"], {"mse": lambda outputs, target: np.mean((outputs - target) ** 2)}])
def test_metrics_come_after_the_score(metrics):
    run = NeuralRegressor(nn.Linear(5, 1), epochs=1, validation=0.25, metrics=metrics, random_state=0).fit(X, values).run_
    assert list(run.history) == ["loss", "val_loss", "val_score", "val_mse"]
    np.testing.assert_allclose(run.history["val_mse"], 2.0 * run.history["val_loss"], rtol=1e-6)


def test_two_classes_may_have_two_outputs():
    net = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 2))
    model = NeuralClassifier(net, epochs=15, optimizer=optim.Adam(0.03), random_state=0).fit(X, y)
    assert model.predict_proba(X).shape == (120, 2)
    assert model.score(X, y) > 0.8


def test_any_network_is_a_regressor_and_goes_on_from_its_parameters():
    net = nn.Linear(5, 2).init(3, np.float32)
    both = np.stack([values, -values], 1)
    model = NeuralRegressor(net, optimizer=optim.SGD(0.1), epochs=10, batch_size=None, random_state=0).fit(X, both)
    assert model.network_.weight.dtype == np.float32
    assert model.predict(X).shape == both.shape
    assert model.score(X, both) > 0.5
    warm = model.set_params(warm_start=True).fit(X, both)
    assert warm.loss_ < warm.run_.history["loss"][0]


@pytest.mark.parametrize(
    ("net", "match"),
    [("dense", "net must be an nn.Module"), (lambda f, o: None, "made no nn.Module"), (nn.Linear(5, 3), r"must be \(1, 1\)")],
)
def test_a_network_that_does_not_fit_is_refused(net, match):
    with pytest.raises(ModelError, match=match):
        NeuralClassifier(net).fit(X, y)


def test_parameters_are_seen_by_set_config():
    try:
        set_config(print_changed_only=False)
        assert "hidden_layer_sizes=(100,)" in repr(MLPRegressor())
    finally:
        set_config(print_changed_only=True)
