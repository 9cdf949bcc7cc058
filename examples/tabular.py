"""Regression from a real table: how will diabetes progress in a year?

The table (B. Efron et al., 2004) holds 442 patients: age, sex, body mass index, blood pressure and six blood values, and a
measure of how far the disease had come a year later. Every patient's number is predicted by a model that has not seen this
patient: five-fold cross-validation, in which a fifth of the patients is put aside at a time. In each fold a fifth of the
others is a validation set: training stops when the loss on it has not improved for 30 epochs, and the best parameters are
kept.

Of so small a table little more than a linear rule can be learned, and a single network falls behind. The average of eight
networks, trained at once from starting points of their own, does not. The baselines are the mean of all patients and linear
regression.

    python examples/tabular.py
"""

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import KFold

import retrograde as rg
from retrograde import nn, optim
from retrograde.train import Programs

programs = Programs()  # the five folds are equal runs but for their numbers: each program is compiled once


def train(X, y):
    """Eight networks, the best on the validation points first."""
    net = nn.Sequential(nn.Linear(X.shape[1], 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 1))
    run = rg.fit(
        net, (X, y[:, np.newaxis]), loss="mse", optimizer=optim.AdamW(3e-3, weight_decay=0.1), batch_size=32, epochs=300,
        validation=0.2, early_stopping=30, starts=8, seed=0, compiled=programs,
    )  # fmt: skip
    return [start.model for start in run.starts]


def predict(models, X):
    return np.mean(np.stack([model(X)[:, 0] for model in models]), axis=0)


def slope(models, X):
    """By how much each input of each point changes its prediction."""
    return rg.grad(lambda models, X: predict(models, X).sum(), argnums=1)(models, X)


def linear(X, y, X_new):
    with_ones = [np.hstack([x, np.ones((len(x), 1))]) for x in (X, X_new)]
    return with_ones[1] @ np.linalg.lstsq(with_ones[0], y)[0]


def main():
    table = load_diabetes(scaled=False)
    X, y = table.data.astype(np.float32), table.target.astype(np.float32)
    said = {name: np.empty_like(y) for name in ("mean", "linear regression", "one network", "eight networks")}
    slopes = np.empty_like(X)

    for known, new in KFold(5, shuffle=True, random_state=0).split(X):
        mean, deviation = X[known].mean(axis=0), X[known].std(axis=0)
        center, scale = y[known].mean(), y[known].std()
        inputs, targets, inputs_new = (X[known] - mean) / deviation, (y[known] - center) / scale, (X[new] - mean) / deviation
        models = train(inputs, targets)
        said["mean"][new] = center
        said["linear regression"][new] = center + scale * linear(inputs, targets, inputs_new)
        said["one network"][new] = center + scale * predict(models[:1], inputs_new)
        said["eight networks"][new] = center + scale * predict(models, inputs_new)
        slopes[new] = scale * slope(models, inputs_new)

    print(f"{len(y)} patients, each predicted by models that have not seen this one")
    for name, prediction in said.items():
        error = mean_absolute_error(y, prediction)
        print(f"{name:18}  R² {r2_score(y, prediction):6.3f}   mean absolute error {error:.1f} of a mean of {y.mean():.0f}")

    print("\nwhat one standard deviation more would add to the prediction, over all patients: mean and spread")
    for i in np.argsort(-np.abs(slopes.mean(axis=0))):
        print(f"{table.feature_names[i]:4} {slopes[:, i].mean():6.1f} +- {slopes[:, i].std():.1f}")


if __name__ == "__main__":
    main()
