"""Losses against PyTorch's, values and gradients under every reduction and transform; in a training run; refusals."""

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn
from retrograde.errors import ModelError

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)
F, Y = RNG.normal(size=(5, 4)) * 2, RNG.normal(size=(5, 4))
SIGNS = np.where(RNG.normal(size=(5, 4)) > 0, 1.0, -1.0)
P, Q = RNG.dirichlet(np.ones(4), 5), RNG.dirichlet(np.ones(4), 5)
Q[0, 1] = 0.0
LABELS, IGNORED = np.array([3, 0, 1, 2, 1]), np.array([3, 0, -100, 2, 1])
WEIGHT = np.array([0.5, 2.0, 1.0, 0.1])
COUNTS = RNG.poisson(2.0, (5, 4)).astype(float)
LISTS = np.array([[2, 0, -1, 1], [3, -1, -1, -1], [0, 1, 2, 3], [-1, 0, 1, 2], [1, -1, 2, 0]])
UNIT = 1 / (1 + np.exp(-F))

# name, settings, inputs that have a gradient, what follows them
CASES = [
    ("MSELoss", {}, (F,), (Y,)), ("L1Loss", {}, (F,), (Y,)), ("HuberLoss", {"delta": 0.7}, (F,), (Y,)),
    ("SmoothL1Loss", {"beta": 0.5}, (F,), (Y,)), ("SmoothL1Loss", {"beta": 0.0}, (F,), (Y,)),
    ("PoissonNLLLoss", {}, (F,), (COUNTS,)), ("PoissonNLLLoss", {"full": True}, (F,), (COUNTS,)),
    ("PoissonNLLLoss", {"log_input": False, "full": True, "eps": 1e-3}, (UNIT,), (COUNTS,)),
    ("GaussianNLLLoss", {}, (F, Y, UNIT), ()), ("GaussianNLLLoss", {"full": True, "eps": 0.3}, (F, Y, UNIT), ()),
    ("NLLLoss", {}, (np.log(P),), (LABELS,)), ("NLLLoss", {"weight": WEIGHT}, (np.log(P),), (IGNORED,)),
    ("CrossEntropyLoss", {}, (F,), (LABELS,)), ("CrossEntropyLoss", {"weight": WEIGHT}, (F,), (LABELS,)),
    ("CrossEntropyLoss", {"label_smoothing": 0.1}, (F,), (IGNORED,)),
    ("CrossEntropyLoss", {"label_smoothing": 0.1, "weight": WEIGHT, "ignore_index": 1}, (F,), (LABELS,)),
    ("CrossEntropyLoss", {"label_smoothing": 0.1, "weight": WEIGHT}, (F,), (Q,)),
    ("KLDivLoss", {}, (np.log(P),), (Q,)), ("KLDivLoss", {"log_target": True}, (np.log(P), np.log(P[::-1])), ()),
    ("BCELoss", {}, (UNIT,), (P,)), ("BCELoss", {"weight": WEIGHT}, (UNIT,), (P,)),
    ("BCEWithLogitsLoss", {}, (F,), (P,)), ("BCEWithLogitsLoss", {"pos_weight": WEIGHT, "weight": WEIGHT}, (F,), (P,)),
    ("SoftMarginLoss", {}, (F,), (SIGNS,)), ("HingeEmbeddingLoss", {"margin": 0.8}, (F,), (SIGNS,)),
    ("MarginRankingLoss", {"margin": 0.3}, (F, Y), (SIGNS,)),
    ("MultiMarginLoss", {}, (F,), (LABELS,)), ("MultiMarginLoss", {"p": 2, "margin": 0.5, "weight": WEIGHT}, (F,), (LABELS,)),
    ("MultiLabelMarginLoss", {}, (F,), (LISTS,)),
    ("CosineEmbeddingLoss", {"margin": 0.1}, (F, Y), (SIGNS[:, 0],)),
    ("TripletMarginLoss", {}, (F, Y, P), ()), ("TripletMarginLoss", {"p": 3.0, "swap": True, "margin": 0.4}, (F, Y, P), ()),
]  # fmt: skip
every = pytest.mark.parametrize("name, settings, inputs, rest", CASES, ids=lambda v: str(v) if isinstance(v, (str, dict)) else "")


def to_torch(a, dtype="float64"):
    return torch.from_numpy(a.astype(dtype) if a.dtype.kind == "f" else a.copy())


@every
@pytest.mark.filterwarnings("ignore:reduction:UserWarning")  # of KLDivLoss
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("dtype, transform", [("float64", lambda f: f), ("float32", lambda f: f), ("float32", rg.jit)],
                         ids=["double", "single", "jit"])  # fmt: skip
def test_values_and_gradients_are_torchs(name, settings, inputs, rest, reduction, dtype, transform):
    given = {k: to_torch(v, dtype) if isinstance(v, np.ndarray) else v for k, v in settings.items()}
    theirs = getattr(torch.nn, name)(**given, reduction=reduction)
    tensors = [to_torch(a, dtype).requires_grad_(True) for a in inputs]
    wanted = theirs(*tensors, *(to_torch(a, dtype) for a in rest))
    ct = np.cos(np.arange(wanted.numel())).reshape(wanted.shape).astype(dtype)
    (wanted * torch.from_numpy(ct)).sum().backward()
    loss = getattr(nn, name)(**settings, reduction=reduction)
    cast = [a.astype(dtype) if a.dtype.kind == "f" else a for a in (*inputs, *rest)]
    tight = {"rtol": 1e-10, "atol": 1e-11} if dtype == "float64" else {"rtol": 1e-5, "atol": 1e-5}
    found = transform(loss.__call__)(*cast)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, wanted.detach().numpy(), **tight)
    grads = transform(rg.grad(lambda *a: np.sum(loss(*a) * ct), argnums=tuple(range(len(inputs)))))(*cast)
    for g, t in zip(grads, tensors):
        np.testing.assert_allclose(g, t.grad.numpy(), **tight)


@every
def test_derivatives_and_lanes(name, settings, inputs, rest):
    loss = getattr(nn, name)(**settings)
    rg.check(lambda *a: loss(*a, *rest))(*inputs)
    rows = rg.vmap(lambda *a: loss(*a, *rest))(*(np.stack([a, a * 0.9]) for a in inputs))
    for row, scale in zip(rows, (1.0, 0.9)):
        np.testing.assert_allclose(row, loss(*(a * scale for a in inputs), *rest), rtol=1e-12)


def test_quantile_loss_finds_quantiles_and_batchmean_the_divergence():
    y = RNG.normal(size=(4000, 1))
    for q in (0.1, 0.8):
        loss = nn.QuantileLoss(q)
        at = np.quantile(y, q)
        value = [loss(np.full_like(y, at + shift), y) for shift in (-0.1, 0.0, 0.1)]
        assert value[1] < value[0] and value[1] < value[2]
        assert loss(np.zeros(1), np.ones(1)) == pytest.approx(q) and loss(np.ones(1), np.zeros(1)) == pytest.approx(1 - q)
    rg.check(lambda f: nn.QuantileLoss(0.3)(f, Y))(F)
    theirs = torch.nn.KLDivLoss(reduction="batchmean")(torch.from_numpy(np.log(P)), torch.from_numpy(Q))
    assert nn.KLDivLoss(reduction="batchmean")(np.log(P), Q) == pytest.approx(float(theirs))


def test_weighed_points_are_repeated_points():
    twice = np.array([0, 1, 1, 2, 4])
    weight = np.array([1.0, 2.0, 1.0, 0.0, 1.0])
    for name, settings, inputs, rest in CASES:
        loss = getattr(nn, name)(**settings)
        repeated = loss(*(a[twice] for a in (*inputs, *rest)))
        assert loss(*inputs, *rest, sample_weight=weight) == pytest.approx(repeated, rel=1e-10), name


def test_each_is_a_loss_of_fit():
    two = nn.Parallel(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.Softplus()), combine="tuple")
    three = nn.Parallel(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4), combine="tuple")
    line = nn.Linear(4, 4)
    likely = nn.Sequential(nn.Linear(4, 4), nn.LogSoftmax())
    unit = nn.Sequential(nn.Linear(4, 4), nn.Sigmoid())
    x = np.tile(RNG.normal(size=(5, 4)), (4, 1))
    for loss, net, y in [
        (nn.L1Loss(), line, Y), (nn.HuberLoss(0.5), line, Y), (nn.SmoothL1Loss(), line, Y), (nn.QuantileLoss(0.2), line, Y),
        (nn.PoissonNLLLoss(full=True), line, COUNTS), (nn.GaussianNLLLoss(), two, Y), (nn.NLLLoss(weight=WEIGHT), likely, LABELS),
        (nn.CrossEntropyLoss(label_smoothing=0.1), line, IGNORED), (nn.KLDivLoss(), likely, P), (nn.BCELoss(), unit, P),
        (nn.BCEWithLogitsLoss(pos_weight=WEIGHT), line, P), (nn.SoftMarginLoss(), line, SIGNS),
        (nn.HingeEmbeddingLoss(), unit, SIGNS), (nn.MarginRankingLoss(), two, SIGNS), (nn.MultiMarginLoss(), line, LABELS),
        (nn.MultiLabelMarginLoss(), line, LISTS), (nn.CosineEmbeddingLoss(), two, SIGNS[:, 0]),
        (nn.TripletMarginLoss(), three, Y),
    ]:  # fmt: skip
        y = np.tile(y, (4, *(1,) * (y.ndim - 1)))
        run = rg.fit(net, (x, y), loss=loss, epochs=15, batch_size=8, optimizer=rg.optim.Adam(0.05))
        assert run.history["loss"][-1] < run.history["loss"][0], loss


def test_what_does_not_fit_is_told():
    for make, said in [
        (lambda: nn.L1Loss(reduction="max"), "reduction"), (lambda: nn.HuberLoss(0.0), "delta"),
        (lambda: nn.QuantileLoss(1.0), "between 0 and 1"), (lambda: nn.CrossEntropyLoss(label_smoothing=2.0), "label_smoothing"),
        (lambda: nn.MultiMarginLoss(3), "p is 1 or 2"), (lambda: nn.L1Loss()(F, Y[:, :1]), "shape"),
        (lambda: nn.CrossEntropyLoss()(F, LABELS + 1), "none of 0 to 3"), (lambda: nn.NLLLoss()(F, Y), "integer labels"),
        (lambda: nn.CrossEntropyLoss(weight=np.ones(3))(F, LABELS), "one number a class"),
        (lambda: nn.BCELoss()(F, P), "BCEWithLogitsLoss"), (lambda: nn.GaussianNLLLoss()(F, Y), "more inputs"),
        (lambda: nn.GaussianNLLLoss()(F, Y, -UNIT), "negative"), (lambda: nn.TripletMarginLoss()(F, Y), "more inputs"),
        (lambda: nn.MultiMarginLoss()(F, LABELS - 1), "labels run from"),
        (lambda: nn.CosineEmbeddingLoss()(F, Y, SIGNS), "target"),
        (lambda: nn.L1Loss()(F, Y, sample_weight=np.ones(3)), "sample_weight"),
        (lambda: rg.fit(nn.Linear(4, 4), (F, Y), loss=nn.L1Loss(reduction="none")), "one number"),
    ]:  # fmt: skip
        with pytest.raises(ModelError, match=said):
            make()


def test_labels_that_are_no_class_make_compiled_losses_nan():
    for name, target in [
        ("NLLLoss", LABELS), ("CrossEntropyLoss", LABELS), ("MultiMarginLoss", LABELS), ("MultiLabelMarginLoss", LISTS),
    ]:  # fmt: skip
        loss = rg.jit(getattr(nn, name)(reduction="none"))
        bad = target.copy()
        bad[1], bad[2] = 4, -7
        assert list(np.isnan(loss(F, bad))) == [False, True, True, False, False]
        assert not np.any(np.isnan(loss(F, target)))
