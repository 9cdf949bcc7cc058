"""Estimators with scikit-learn's manners: its MLP's parameters and attributes, or any network, trained by `retrograde.fit`."""

from retrograde.sklearn.mlp import MLPClassifier, MLPRegressor
from retrograde.sklearn.neural import NeuralClassifier, NeuralRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "NeuralClassifier", "NeuralRegressor"]
