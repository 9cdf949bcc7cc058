"""`fit(..., precision=...)`: it learns, in half the memory for what is held, with the same bits on any number of threads."""

from dataclasses import replace

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn, optim
from retrograde.errors import ModelError
from retrograde.runtime import llvm
from retrograde.train.gradient import PATIENCE, first_scaling, guarded
from retrograde.tree import tree_leaves

RNG = np.random.default_rng(0)
PRECISIONS = pytest.mark.parametrize("precision", ["bf16", "f16"])
X = RNG.normal(size=(256, 32)).astype(np.float32)
Y = np.sin(X @ RNG.normal(size=(32, 4)) / 3)
NET = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 4))


def digits():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(1).permutation(len(images))
    images, labels = (images[order] / 16.0).astype(np.float32), labels[order]
    return (images[:1400], labels[:1400]), (images[1400:], labels[1400:])


@PRECISIONS
def test_digits_are_learned(precision):
    train, (images, labels) = digits()
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    run = rg.fit(net, train, loss="cross_entropy", optimizer=optim.Adam(2e-3), batch_size=64, epochs=25, precision=precision)
    assert np.mean(np.argmax(run.model(images), axis=1) == labels) >= 0.96
    assert {leaf.dtype for leaf in tree_leaves(run.model)} == {np.dtype(np.float32)}
    assert {leaf.dtype for leaf in tree_leaves(run.optimizer_state) if leaf.ndim} == {np.dtype(np.float32)}
    assert run.precision in run.summary()


@PRECISIONS
@pytest.mark.parametrize("pairs", [True, False])
def test_compiled_equals_interpreted(precision, pairs, monkeypatch):
    """A float32 sum in another order may tip a rounding of what it feeds: by one part in 2^8 (2^11) of a value here and there."""
    real = llvm.host()
    if pairs and not real.pairs:
        pytest.skip("this processor has no AVX512-BF16")
    monkeypatch.setattr(llvm, "host", lambda: replace(real, pairs=pairs))
    settings = {"optimizer": optim.SGD(0.1), "batch_size": 64, "epochs": 3, "precision": precision}
    native, plain = (rg.fit(NET, (X, Y), compiled=c, **settings) for c in (True, False))
    tolerance = {"bf16": 2e-3, "f16": 3e-4}[precision]
    np.testing.assert_allclose(native.history["loss"], plain.history["loss"], rtol=tolerance)
    for a, b in zip(tree_leaves(native.model), tree_leaves(plain.model)):
        assert np.linalg.norm(a - b) <= tolerance * np.linalg.norm(b) + tolerance / 10


def test_it_is_near_float32_and_not_float32():
    settings = {"optimizer": optim.SGD(0.1), "batch_size": 64, "epochs": 5}
    runs = {p: rg.fit(NET, (X, Y), precision=p, **settings).history["loss"] for p in (None, "bf16", "f16")}
    for precision, rtol in (("bf16", 2e-2), ("f16", 2e-3)):
        np.testing.assert_allclose(runs[precision], runs[None], rtol=rtol)
        assert (runs[precision] != runs[None]).any()


@PRECISIONS
def test_the_same_bits_on_one_thread_and_on_two(precision):
    net = nn.Sequential(nn.Linear(32, 256), nn.ReLU(), nn.Linear(256, 192), nn.Tanh(), nn.Linear(192, 4))
    before, found = rg.get_threads(), []
    try:
        for threads in (1, 2):
            rg.set_threads(threads)
            run = rg.fit(net, (X, Y), batch_size=128, epochs=2, precision=precision)
            found.append([leaf.tobytes() for leaf in tree_leaves(run.model)])
    finally:
        rg.set_threads(before)
    assert run.program.sharing
    assert found[0] == found[1]


@PRECISIONS
def test_what_is_held_takes_half_the_memory_in_the_plan_too(precision):
    hidden = [layer for _ in range(2) for layer in (nn.Linear(160, 160), nn.Tanh())]
    net = nn.Sequential(nn.Linear(32, 160), nn.Tanh(), *hidden, nn.Linear(160, 4))
    runs = [rg.fit(net, (X, Y), batch_size=128, epochs=1, shuffle=False, precision=p) for p in (None, precision)]
    assert runs[1].held_bytes < 0.52 * runs[0].held_bytes
    whole, half = 128 * 160 * 4, 128 * 160 * 2
    longest = []
    for run in runs:
        blocks = list(blocks_of(run.program.plan))
        far = 0.3 * max(b.end for b in blocks)  # from the forward pass to the backward pass
        longest.append({size: sum(b.end - b.start > far for b in blocks if b.nbytes == size) for size in (whole, half)})
    assert longest[0][whole] >= 2 and longest[0][half] == 0
    assert longest[1][whole] == 0 and longest[1][half] >= 2


def blocks_of(plan):
    yield from plan.blocks
    for nested in plan.nested.values():
        yield from blocks_of(nested)


@PRECISIONS
def test_it_goes_with_all_else(precision):
    labels = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
    net = nn.Sequential(nn.Linear(32, 16), nn.GELU(), nn.Dropout(0.1), nn.Linear(16, 3), nn.Softmax())
    run = rg.fit(
        net, (X, labels), loss=lambda p, t, sample_weight=None: -np.mean(np.log(p[np.arange(len(t)), t] + 1e-7)), batch_size=50,
        epochs=30, optimizer=optim.Adam(0.01), starts=2, validation=0.2, early_stopping=5, sample_weight=np.ones(256),
        precision=precision,
    )  # fmt: skip
    assert np.isfinite(run.history["val_loss"]).all() and run.history["loss"][-1] < run.history["loss"][0]
    assert all(r.precision == run.precision for r in run.starts)


def test_an_overflow_leaves_the_update_out_and_halves_the_scale():
    """Targets of a million give cotangents that times 2^15 overflow float16; in the end the scale fits."""
    y = Y * 1e6
    net = NET.init(0)
    for compiled in (True, False):
        run = rg.fit(net, (X, y), optimizer=optim.SGD(1e-13), batch_size=64, epochs=6, precision="f16", compiled=compiled)
        assert 0 < run.skipped_updates < run.updates
        assert all(np.isfinite(leaf).all() for leaf in tree_leaves(run.model))
        assert f"{run.skipped_updates} updates left out" in run.summary()


def test_the_scale_doubles_after_many_good_updates_and_has_limits():
    scaling, params = first_scaling(np.dtype(np.float16)), {"w": np.zeros(3)}
    first = scaling["scale"]

    def descend(gradient, scaling):
        def update(grads, state, params):
            return {"w": params["w"] - grads["w"]}, {"t": state["t"] + 1}

        with np.errstate(invalid="ignore"):
            return guarded(update, {"w": np.array([0.0, gradient, 0.5])}, {"t": 0}, params, scaling)

    for _ in range(PATIENCE):
        kept, scaling = descend(0.5, scaling)
    assert scaling["scale"] == 2 * first
    assert kept[0]["w"].tolist() == [0.0, -0.5, -0.5] and kept[1]["t"] == 1
    for bad in (np.inf, np.nan):
        kept, scaling = descend(bad, scaling)
        assert kept[0]["w"].tolist() == [0.0, 0.0, 0.0] and kept[1]["t"] == 0
    assert scaling["scale"] == first / 2 and scaling["skipped"] == 2
    for _ in range(40):
        _, scaling = descend(np.nan, scaling)
    assert scaling["scale"] == 1


def test_settings_that_do_not_fit():
    with pytest.raises(ModelError, match="bf16"):
        rg.fit(NET, (X, Y), precision="bfloat16")
    with pytest.raises(ModelError, match="float32"):
        rg.fit(NET, (X, Y), precision="bf16", dtype=np.float64)
