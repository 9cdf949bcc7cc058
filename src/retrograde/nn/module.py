"""`Module`: a layer or network, as a pytree whose leaves are plain ndarrays."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from retrograde.errors import ModelError, ModelFileError
from retrograde.tree import register_node, tree_leaves, tree_names, tree_paths

_KNOWN: dict[str, type[Module]] = {}
HABITS = {
    "fit": "rg.fit(net, (X, y), ...)",
    "predict": "net(X), for classes net(X).argmax(-1)",
    "forward": "net(X)",
    "parameters": "rg.tree.tree_leaves(net); rg.fit and optimizers take the network itself",
    "state_dict": "nn.state_dict(net)",
    "load_state_dict": "nn.load_state_dict(net, ...)",
    "train": "net(X, key=key), which is training's; rg.fit does",
    "eval": "net(X), which draws no dropout without a key",
}


class Module:
    """Base of layers and networks: immutable by custom, changed by `replace`, initialized by `init`.

    `net.init(seed)` is the network with its parameters, `net(x)` its output, `net(x, key=key)` that of training, `net.apply(x,
    key)` that with the network whose running statistics have moved on. A layer of your own names its arrays and inner modules in
    `dynamic`, those that are state, not parameters, in `buffers` as well, and takes its first numbers in `initialize`.

    >>> class Scale(nn.Module):
    ...     dynamic = ("gain",)
    ...
    ...     def __init__(self, start):
    ...         self.start, self.gain = start, None
    ...
    ...     def initialize(self, rng, dtype, follows):
    ...         return self.replace(gain=np.full((), self.start, dtype))
    ...
    ...     def __call__(self, x, key=None):
    ...         return x * self.gain
    >>> Scale(3.0).init(0)(np.ones((2, 4)))
    array([[3., 3., 3., 3.],
           [3., 3., 3., 3.]])
    """

    dynamic: ClassVar[tuple[str, ...]] = ()
    unnamed: ClassVar[tuple[str, ...]] = ()  # of those, the ones that PyTorch's names of parameters pass over
    buffers: ClassVar[tuple[str, ...]] = ()  # of those, the ones that are state and not trained
    frozen_leaves: tuple[str, ...] = ()  # its own arrays that are held as they are, `freeze`'s marks

    def __init__(self) -> None:
        """A layer without settings."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        register_node(cls, cls._flatten, cls._unflatten)
        if cls.__module__.startswith("retrograde.nn"):
            _KNOWN[cls.__name__] = cls

    def _flatten(self) -> tuple[tuple, Any, tuple[str, ...]]:
        static = tuple((k, v) for k, v in self.__dict__.items() if k not in self.dynamic)
        return tuple(getattr(self, name) for name in self.dynamic), (type(self), static), self.dynamic

    @staticmethod
    def _unflatten(aux: Any, children: Any) -> Module:
        cls, static = aux
        made = object.__new__(cls)
        made.__dict__.update(static)
        made.__dict__.update(zip(cls.dynamic, children))
        return made

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """`(x, key=None)`: the output for a batch `x` of shape (..., features); with a random key, as in training."""
        raise NotImplementedError(f"{type(self).__name__} has no __call__(self, x, key=None)")

    def __getattr__(self, name: str) -> Any:
        if name in HABITS:
            raise AttributeError(f"{type(self).__name__} has no {name!r}: write {HABITS[name]}", name=name, obj=self)
        return self.__getattribute__(name)  # the error that led here, once more

    def apply(self, x: Any, key: Any, **kwargs: Any) -> tuple[Any, Any]:
        """`self(x, key=key)`, as in training, and the network whose buffers (running statistics) have moved on.

        Layers inside note what becomes of their buffers by themselves. Raises `ModelError` if one was called that is not part of
        the network, `LeakedTracerError` if it was called inside a loop, a branch or the like.
        """
        from retrograde.nn.collecting import collect

        return collect(self, lambda net: net(x, key=key, **kwargs))

    def replace(self, **changes: Any) -> Any:
        """A copy with some attributes changed."""
        unknown = sorted(set(changes) - set(self.__dict__))
        if unknown:
            raise ModelError(f"{type(self).__name__} has no attribute {unknown[0]!r}; it has {sorted(self.__dict__)}")
        made = copy.copy(self)
        made.__dict__.update(changes)
        return made

    def init(self, seed: int = 0, dtype: Any = np.float32) -> Any:
        """A copy with fresh parameters; the same seed gives the same bits."""
        return self.initialize_from(np.random.SeedSequence(seed), np.dtype(dtype), None)

    def initialize_from(self, seeds: np.random.SeedSequence, dtype: np.dtype, follows: Any) -> Any:
        """As `init`, from a seed sequence of its own; `follows` is the layer that takes this one's output."""
        made = self.initialize(np.random.default_rng(seeds), dtype, follows)
        changes = {}
        for i, name in enumerate(made.dynamic):
            value = getattr(made, name)
            if isinstance(value, Module):
                changes[name] = value.initialize_from(child_seeds(seeds, i), dtype, None)
            elif inner := _inner(value):
                seed = child_seeds(seeds, i)
                changes[name] = tuple(m.initialize_from(child_seeds(seed, j), dtype, None) for j, m in enumerate(inner))
        return made.replace(**changes) if changes else made

    def initialize(self, rng: np.random.Generator, dtype: np.dtype, follows: Any) -> Any:
        """A copy with this layer's own arrays drawn from `rng`; by default there are none."""
        return self

    @property
    def initialized(self) -> bool:
        """Whether every parameter has an array."""
        values = {name: getattr(self, name) for name in self.dynamic}
        return all(
            all(m.initialized for m in _inner(value)) if _inner(value) else value is not None or name in self.optional()
            for name, value in values.items()
        )

    def optional(self) -> tuple[str, ...]:
        """Dynamic attributes that may stay None."""
        return ()

    @property
    def num_parameters(self) -> int:
        """How many numbers training changes: those of buffers and of frozen parameters are left out."""
        return sum(int(np.size(array)) for array, leaf in zip(tree_leaves(self), leaves_of(self)) if leaf.trained)

    def config(self) -> dict[str, Any]:
        """The architecture as JSON-able data: the type's name and its constructor's arguments."""
        names = [n for n in inspect.signature(type(self).__init__).parameters if n != "self"]
        values = {n: getattr(self, n) for n in names}
        return {"type": type(self).__name__, **{n: v.config() if isinstance(v, Module) else v for n, v in values.items()}}

    def save(self, path: Any, **extra: Any) -> None:
        """Write parameters and architecture to a safetensors file."""
        from retrograde import save

        save(path, self, **extra)

    def __repr__(self) -> str:
        try:
            return _written(self.config(), type(self))
        except AttributeError:  # a person's own, which does not keep the arguments that it was made of
            return f"{type(self).__name__}(...)"


@dataclass(frozen=True)
class Leaf:
    """An array of a network: its `name` is PyTorch's, `place` leads to the module that holds it, `own` is its name in there."""

    name: str
    place: tuple
    own: str
    trained: bool
    frozen: bool


def leaves_of(net: Any) -> list[Leaf]:
    """What each leaf of a network is, in the order of `tree_leaves`."""
    return [_leaf(net, path, name) for path, name in zip(tree_paths(net), tree_names(net))]


def _leaf(node: Any, path: tuple, name: str) -> Leaf:
    owner, held = node, 0
    for i, key in enumerate(path):
        if isinstance(node, Module):
            owner, held = node, i
        node = getattr(node, key) if isinstance(node, Module) else node[key]
    own = ".".join(map(str, path[held:]))
    frozen = own in owner.frozen_leaves
    return Leaf(name, path[:held], own, not frozen and path[held] not in owner.buffers, frozen)


def map_modules(f: Callable[[Module, Module, tuple], Any], node: Any, place: tuple = ()) -> Any:
    """`node` with each module in it replaced by `f(module, copy, place)`; those inside come first, and the copy holds theirs."""
    if isinstance(node, Module):
        made = copy.copy(node)
        made.__dict__.update({name: map_modules(f, getattr(node, name), (*place, name)) for name in node.dynamic})
        return f(node, made, place)
    if type(node) is dict:
        return {key: map_modules(f, value, (*place, key)) for key, value in node.items()}
    if type(node) in (tuple, list):
        return type(node)(map_modules(f, value, (*place, i)) for i, value in enumerate(node))
    return node


def _inner(value: Any) -> tuple[Module, ...]:
    """The modules that a dynamic attribute is or holds."""
    if isinstance(value, Module):
        return (value,)
    return value if isinstance(value, tuple) and all(isinstance(v, Module) for v in value) else ()


def child_seeds(seeds: np.random.SeedSequence, i: int) -> np.random.SeedSequence:
    """The seed sequence of child `i`: adding a child at the end leaves those before it as they were."""
    return np.random.SeedSequence(entropy=seeds.entropy, spawn_key=(*seeds.spawn_key, i))


def from_config(config: Any) -> Module:
    """The (uninitialized) network of a `config()`; only known layer types, nothing is executed.

    Raises `ModelFileError` for a layer that there is not, or that cannot be made so.

    >>> net = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    >>> nn.from_config(net.config())
    Sequential(
      (0): Linear(3, 2)
      (1): ReLU()
    )
    """
    if not isinstance(config, dict) or config.get("type") not in _KNOWN:
        kind = config.get("type") if isinstance(config, dict) else config
        raise ModelFileError(f"the model file names a layer {kind!r}, which retrograde does not have; it has {sorted(_KNOWN)}")
    arguments = {k: v for k, v in config.items() if k != "type"}
    cls = _KNOWN[config["type"]]
    arguments |= {k: from_config(v) for k, v in arguments.items() if isinstance(v, dict) and "type" in v}
    try:
        layers = [from_config(layer) for layer in arguments.pop("layers", ())]
        return cls(*layers, **arguments)
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"the model file describes a {config['type']} that cannot be made: {error}") from None


def _written(config: dict[str, Any], cls: type[Module] | None) -> str:
    """The call that makes a module: what must be given by its place, of the rest what differs from the default."""
    parameters = inspect.signature(cls.__init__).parameters if cls else {}
    shown = []
    for name, value in config.items():
        if name == "type":
            continue
        if isinstance(value, list):  # one number an axis
            value = value[0] if all(v == value[0] for v in value) else tuple(value)
        default = parameters[name].default if name in parameters else ...
        inner = isinstance(value, dict) and "type" in value
        text = _written(value, _KNOWN.get(value["type"])) if inner else repr(value)
        if default is inspect.Parameter.empty:
            shown.append(text)
        elif value != default:
            shown.append(f"{name}={text}")
    return f"{config['type']}({', '.join(shown)})"


def check_layers(name: str, layers: Any) -> tuple[Module, ...]:
    """The layers of a container, where each is a module."""
    for i, layer in enumerate(layers):
        if isinstance(layer, type) and issubclass(layer, Module):
            raise ModelError(f"{name}: layer {i} is a class, not a module; write {layer.__name__}(...), with its arguments")
        if isinstance(layer, (list, tuple)):
            raise ModelError(f"{name}: layer {i} is a {type(layer).__name__}; give layers one by one: {name}(*layers)")
        if not isinstance(layer, Module):
            raise ModelError(f"{name}: layer {i} is a {type(layer).__name__}, not a module; wrap a function f in nn.Lambda(f)")
    return tuple(layers)


def check_size(module: Any, **sizes: Any) -> None:
    """Raise `ModelError` for a size that is no positive integer."""
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value <= 0:
            raise ModelError(f"{type(module).__name__}: {name} must be a positive integer; it is {value!r}")


def check_probability(module: Any, **values: Any) -> None:
    """Raise `ModelError` for a dropout that is not in [0, 1)."""
    for name, value in values.items():
        if not 0.0 <= value < 1.0:
            raise ModelError(f"{type(module).__name__}: {name} is a probability in [0, 1); it is {value!r}")


def check_one_array(module: Any, x: Any) -> None:
    """Raise `ModelError` for what a recurrent layer or an attention returned whole."""
    if isinstance(x, tuple):
        raise ModelError(f"{module!r} takes one array; this is a tuple of {len(x)}. After a recurrent layer or an attention, "
                         "which return (output, more), put nn.TakeOutput()")  # fmt: skip


def require(array: Any, module: Module) -> Any:
    """The array, or the error for a layer that has none yet."""
    if array is None:
        raise ModelError(
            f"{module!r} has no parameters yet: a network is a description until `net = net.init(seed)` draws them (rg.fit does "
            "it for you)"
        )
    return array
