"""One fresh process of `first_result.py`: NAME FOLDER; prints its seconds as JSON.

It imports nothing before the clock starts but what the interpreter has loaded already. Reading the points is not timed.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

SIZES, BATCH, RATE = (784, 256, 128, 10), 128, 1e-3


def points_of(folder: str) -> Any:
    """The points and their labels, as `first_result.py` wrote them."""
    import numpy as np

    return np.load(f"{folder}/X.npy"), np.load(f"{folder}/y.npy")


def retrograde(folder: str) -> dict[str, float]:
    """`rg.fit`; "compile" is the step from a traced graph to code in memory, or the loading of code from the cache."""
    import retrograde as rg
    from retrograde import nn, optim

    imported = time.perf_counter()
    X, y = points_of(folder)
    began = time.perf_counter()
    net = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
    run = rg.fit(net, (X, y), loss="cross_entropy", optimizer=optim.Adam(RATE), batch_size=BATCH, epochs=1)
    took = time.perf_counter() - began
    return {
        "imported": imported, "build": took - run.seconds, "epoch": run.seconds, "compile": run.program.seconds,
        "loss": float(run.history["loss"][-1]),
    }  # fmt: skip


def torch(folder: str) -> dict[str, float]:
    """PyTorch, eager, with its fused Adam."""
    import torch

    imported = time.perf_counter()
    X, y = map(torch.from_numpy, points_of(folder))
    began = time.perf_counter()
    linear, relu = torch.nn.Linear, torch.nn.ReLU
    net = torch.nn.Sequential(linear(784, 256), relu(), linear(256, 128), relu(), linear(128, 10))
    criterion, optimizer = torch.nn.CrossEntropyLoss(), torch.optim.Adam(net.parameters(), lr=RATE, fused=True)
    built = time.perf_counter()
    order, total = torch.randperm(len(X)), 0.0
    for x, t in zip(X[order].split(BATCH), y[order].split(BATCH)):
        optimizer.zero_grad()
        loss = criterion(net(x), t)
        loss.backward()
        optimizer.step()
        total += loss.item()
    ended = time.perf_counter()
    return {"imported": imported, "build": built - began, "epoch": ended - built, "loss": total * BATCH / len(X)}


def jax(folder: str, scan: bool = False) -> dict[str, float]:
    """JAX: a jitted step, or the epoch as one `lax.scan`. Adam is written out, for optax takes long to import."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    imported = time.perf_counter()
    X, y = points_of(folder)
    began = time.perf_counter()
    rng = np.random.default_rng(0)
    params = [
        (rng.uniform(-1, 1, (a, b)).astype(np.float32) / np.float32(a**0.5), np.zeros(b, np.float32))
        for a, b in zip(SIZES, SIZES[1:])
    ]
    zeros = jax.tree.map(np.zeros_like, params)
    carry = (params, zeros, jax.tree.map(np.zeros_like, params), np.float32(0))

    def loss_of(params: Any, x: Any, t: Any) -> Any:
        for weight, bias in params[:-1]:
            x = jax.nn.relu(x @ weight + bias)
        f = jax.nn.log_softmax(x @ params[-1][0] + params[-1][1])
        return -jnp.mean(jnp.take_along_axis(f, t[:, None], 1))

    def step(carry: Any, batch: Any) -> Any:
        params, m, v, count = carry
        loss, grads = jax.value_and_grad(loss_of)(params, *batch)
        count = count + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
        one, two = 1 - 0.9**count, 1 - 0.999**count
        params = jax.tree.map(lambda p, m, v: p - RATE * (m / one) / (jnp.sqrt(v / two) + 1e-8), params, m, v)
        return (params, m, v, count), loss

    def epoch(carry: Any, X: Any, y: Any, order: Any) -> Any:
        return jax.lax.scan(lambda c, at: step(c, (X[at], y[at])), carry, order)

    y, order = y.astype(np.int32), rng.permutation(len(X)).reshape(-1, BATCH)
    first = (carry, X, y, order) if scan else (carry, (X[order[0]], y[order[0]]))
    compiled = jax.jit(epoch if scan else step, donate_argnums=0).lower(*first).compile()
    built = time.perf_counter()
    if scan:
        losses = [np.mean(jax.block_until_ready(compiled(*first))[1])]
    else:
        losses = []
        for at in order:
            carry, loss = compiled(carry, (X[at], y[at]))
            losses.append(loss)
        jax.block_until_ready(carry)
    ended = time.perf_counter()
    return {"imported": imported, "build": built - began, "epoch": ended - built, "loss": float(np.mean(losses))}


def sklearn(folder: str) -> dict[str, float]:
    """scikit-learn; it builds nothing before it trains."""
    import numpy as np
    from sklearn.neural_network import MLPClassifier

    imported = time.perf_counter()
    X, y = points_of(folder)
    began = time.perf_counter()
    model = MLPClassifier(SIZES[1:-1], alpha=0.0, batch_size=BATCH, learning_rate_init=RATE)
    model.partial_fit(X, y, classes=np.arange(10))
    return {"imported": imported, "build": 0.0, "epoch": time.perf_counter() - began, "loss": float(model.loss_)}


PEERS = {"retrograde": retrograde, "torch": torch, "jax": jax, "jax-scan": lambda folder: jax(folder, True), "sklearn": sklearn}

if __name__ == "__main__":
    START = time.perf_counter()
    found = PEERS[sys.argv[1]](sys.argv[2])
    found["import"] = found.pop("imported") - START
    print(json.dumps(found))
