"""scikit-learn's own checks of an estimator, all of them, for each of ours."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from retrograde import nn, optim
from retrograde.sklearn import MLPClassifier, MLPRegressor, NeuralClassifier, NeuralRegressor


def small(features, outputs):
    return nn.Sequential(nn.Linear(features, 16), nn.Tanh(), nn.Linear(16, outputs))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [
        MLPClassifier(max_iter=100), MLPRegressor(max_iter=100),
        NeuralClassifier(small, optimizer=optim.Adam(0.02), epochs=60),
        NeuralRegressor(small, optimizer=optim.Adam(0.02), epochs=60),
    ]
)  # fmt: skip
def test_scikit_learns_checks(estimator, check):
    check(estimator)
