"""RNN, LSTM and GRU, with PyTorch's names, arguments, gate order and results: one compiled loop a layer and direction.

J. Elman (1990); S. Hochreiter and J. Schmidhuber (1997), with the forget gate of F. Gers et al. (2000); K. Cho et al. (2014), in
the variant whose reset gate multiplies after the product, as cuDNN and PyTorch have it. `proj_size` is not here.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from retrograde import numpy as rnp
from retrograde import random
from retrograde.control import scan
from retrograde.errors import ModelError
from retrograde.nn.layers import Dropout
from retrograde.nn.module import Module, check_probability, check_size, require


class _Recurrent(Module):
    """What the three share; `weights` is a dict by PyTorch's names, weight_ih_l0 (gates * hidden_size, input_size) and so on."""

    dynamic = ("weights",)
    unnamed = ("weights",)
    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1  # arrays that a step carries, h and for an LSTM c

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False,
    ):  # fmt: skip
        check_size(self, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        check_probability(self, dropout=dropout)
        self.input_size, self.hidden_size, self.num_layers = int(input_size), int(hidden_size), int(num_layers)
        self.bias, self.batch_first, self.bidirectional = bool(bias), bool(batch_first), bool(bidirectional)
        self.dropout = float(dropout)
        self.weights: Any = None

    def _directions(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def initialize(self, rng: np.random.Generator, dtype: np.dtype, follows: Any) -> Any:
        """All uniform on (-a, a), a = 1 / sqrt(hidden_size), as PyTorch's."""
        a, rows = 1.0 / math.sqrt(self.hidden_size), self.gates * self.hidden_size
        weights: dict[str, np.ndarray] = {}
        for i in range(self.num_layers):
            width = self.input_size if i == 0 else self.hidden_size * len(self._directions())
            for way in self._directions():
                shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, width), "weight_hh": (rows, self.hidden_size)}
                if self.bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                weights |= {f"{name}_l{i}{way}": rng.uniform(-a, a, shape).astype(dtype) for name, shape in shapes.items()}
        return self.replace(weights=weights)

    def _step(self, state: tuple, x: Any, recurrent: Any, bias: Any) -> tuple:
        """The next state from x @ weight_ih.T + bias_ih and state[0] @ weight_hh.T, to which `bias` (None for none) is added."""
        raise NotImplementedError

    def __call__(self, x: Any, hx: Any = None, key: Any = None) -> Any:
        """(output, last state), of the shapes that `RNN` tells; with a random key, as in training, with `dropout`."""
        require(self.weights, self)
        if np.ndim(x) not in (2, 3) or np.shape(x)[-1] != self.input_size:
            raise ModelError(f"{self!r} takes arrays of 3 axes (2 without a batch), the last of length {self.input_size}; this "
                             f"one has shape {np.shape(x)}")  # fmt: skip
        alone = np.ndim(x) == 2
        x = np.expand_dims(x, 1) if alone else np.swapaxes(x, 0, 1) if self.batch_first else x
        first = self._first(hx, np.shape(x)[1], alone)
        ends: list[tuple] = []
        for i in range(self.num_layers):
            if i > 0 and key is not None:
                x = Dropout(self.dropout)(x, key=random.fold_in(key, i))
            outputs = []
            for way in self._directions():
                given = None if first is None else tuple(a[len(ends)] for a in first)
                output, end = self._run(x, given, f"_l{i}{way}", way != "")
                outputs.append(output)
                ends.append(end)
            x = outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=-1)
        last = tuple(np.stack([end[j] for end in ends]) for j in range(self.states))
        if alone:
            x, last = x[:, 0], tuple(a[:, 0] for a in last)
        elif self.batch_first:
            x = np.swapaxes(x, 0, 1)
        return x, (last if self.states > 1 else last[0])

    def _first(self, hx: Any, batch: int, alone: bool) -> Any:
        if hx is None:
            return None
        states = hx if self.states > 1 else (hx,)
        wanted = (self.num_layers * len(self._directions()), *(() if alone else (batch,)), self.hidden_size)
        if not isinstance(states, (tuple, list)) or [np.shape(a) for a in states] != [wanted] * self.states:
            what = "a pair (h, c), each" if self.states > 1 else "one array"
            raise ModelError(f"{type(self).__name__}: hx is {what} of shape {wanted}")
        return tuple(np.expand_dims(a, 1) if alone else a for a in states)

    def _run(self, x: Any, first: Any, name: str, reverse: bool) -> tuple[Any, tuple]:
        """One layer in one direction over x of shape (time, batch, features)."""
        w = self.weights
        fed = _plus(np.matmul(x, w["weight_ih" + name].T), w["bias_ih" + name] if self.bias else None)
        recurrent, bias = w["weight_hh" + name].T, w["bias_hh" + name] if self.bias else None
        if first is None:
            first = (np.zeros((np.shape(x)[1], self.hidden_size), fed.dtype),) * self.states

        def step(state: tuple, x: Any) -> tuple[tuple, Any]:
            state = self._step(state, x, np.matmul(state[0], recurrent), bias)
            return state, state[0]

        end, output = scan(step, tuple(a.astype(fed.dtype) for a in first), fed, reverse=reverse)
        return output, end


class RNN(_Recurrent):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh); `nonlinearity="relu"` for max(., 0) (J. Elman, 1990).

    Called as `layer(x)` or `layer(x, hx)`: (output, last state) for x (time, batch, input_size), batch first with `batch_first`,
    or (time, input_size). output holds the last layer's h at each time, (time, batch, directions * hidden_size); states are
    (layers * directions, batch, hidden_size), by default zeros at first. `dropout` falls between layers in training. Weights
    start uniform on (-a, a), a = 1 / sqrt(hidden_size). Raises `ModelError` for other shapes.

    >>> layer = nn.RNN(3, 8, batch_first=True).init(0)
    >>> output, h = layer(np.ones((5, 12, 3)))
    >>> output.shape, h.shape
    ((5, 12, 8), (1, 5, 8))
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
    ):  # fmt: skip
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        if nonlinearity not in ("tanh", "relu"):
            raise ModelError(f'RNN: nonlinearity is "tanh" or "relu", not {nonlinearity!r}')
        self.nonlinearity = nonlinearity

    def _step(self, state: tuple, x: Any, recurrent: Any, bias: Any) -> tuple:
        total = x + _plus(recurrent, bias)
        return (np.tanh(total) if self.nonlinearity == "tanh" else np.maximum(total, 0),)


class LSTM(_Recurrent):
    """i, f, o = sigmoid and g = tanh of their rows of W_ih x + b_ih + W_hh h + b_hh; c' = f c + i g, h' = o tanh(c').

    S. Hochreiter and J. Schmidhuber (1997), with the forget gate of F. Gers et al. (2000). A state is the pair (h, c); otherwise
    as `RNN`.

    >>> layer = nn.LSTM(3, 8, batch_first=True).init(0)
    >>> output, (h, c) = layer(np.ones((5, 12, 3)))
    >>> output.shape, h.shape, c.shape
    ((5, 12, 8), (1, 5, 8), (1, 5, 8))
    """

    gates, states = 4, 2

    def _step(self, state: tuple, x: Any, recurrent: Any, bias: Any) -> tuple:
        a = x + _plus(recurrent, bias)
        to_i, to_f, to_g, to_o = np.split(a, 4, axis=-1)
        i, f, g, o = rnp.sigmoid(to_i), rnp.sigmoid(to_f), np.tanh(to_g), rnp.sigmoid(to_o)
        c = f * state[1] + i * g
        return o * np.tanh(c), c


class GRU(_Recurrent):
    """r, z = sigmoid of both products' sums; n = tanh(W_in x + b_in + r (W_hn h + b_hn)); h' = (1 - z) n + z h.

    K. Cho et al. (2014), in the variant whose reset gate multiplies after the product. Otherwise as `RNN`.

    >>> layer = nn.GRU(3, 8, num_layers=2, bidirectional=True, batch_first=True).init(0)
    >>> output, h = layer(np.ones((5, 12, 3)))
    >>> output.shape, h.shape
    ((5, 12, 16), (4, 5, 8))
    """

    gates = 3

    def _step(self, state: tuple, x: Any, recurrent: Any, bias: Any) -> tuple:
        u, a = x, _plus(recurrent, bias)
        (xr, xz, xn), (hr, hz, hn) = np.split(u, 3, axis=-1), np.split(a, 3, axis=-1)
        r, z = rnp.sigmoid(xr + hr), rnp.sigmoid(xz + hz)
        n = np.tanh(xn + r * hn)
        return ((1.0 - z) * n + z * state[0],)


class TakeOutput(Module):
    """The output of a recurrent layer or an attention, which give (output, more), so that a layer can follow it in a Sequential.

    `step` picks one time, as -1 the last, from axis 1 (axis 0 with `batch_first=False`).

    >>> net = nn.Sequential(nn.GRU(3, 8, batch_first=True), nn.TakeOutput(-1), nn.Linear(8, 1)).init(0)
    >>> net(np.ones((5, 12, 3))).shape
    (5, 1)
    """

    def __init__(self, step: int | None = None, batch_first: bool = True):
        self.step, self.batch_first = None if step is None else int(step), bool(batch_first)

    def __call__(self, x: Any, key: Any = None) -> Any:
        output = x[0] if isinstance(x, tuple) else x
        return output if self.step is None else output[:, self.step] if self.batch_first else output[self.step]


def _plus(x: Any, bias: Any) -> Any:
    return x if bias is None else x + bias
