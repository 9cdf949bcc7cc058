"""`vmap`: a function of one example as a function of many, by the batching rules of what it does.

The function is traced once, for one lane, and its graph then run for all of them (see `batching`). What no mapped argument
reaches is not traced: it is computed once, and Python's `if` works on it as it does elsewhere.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retrograde.batching import Lanes
from retrograde.errors import GraphTypeError, ShapeError
from retrograde.ir.primitive import inside
from retrograde.ops.shape import spread, transpose
from retrograde.trace import Tracer, refuse_subclasses, tracing
from retrograde.trace.trace import as_output, input_names, new_input
from retrograde.transforms import grad, owned
from retrograde.tree import tree_flatten, tree_paths, tree_prefix, tree_unflatten


def vmap(f: Callable, in_axes: Any = 0, out_axes: Any = 0, axis_size: int | None = None) -> Callable:
    """A function that applies `f` to every slice of its arguments along an axis, at once, and stacks the results.

    `in_axes` says along which: an int for all arguments, or a tuple with an int, None (the same value for every slice) or
    a pytree prefix of those for each positional argument; negative axes count from the end. Keyword arguments are mapped
    along axis 0. `out_axes`, an int, None (a result that is the same for all) or a prefix of the result's pytree, says where
    the axis goes. `axis_size` is needed only if nothing is mapped. The function must return arrays whose shapes do not depend
    on values. As the loop over slices, but each operation is done for all of them: a product with shared weights is one
    larger product. Floating-point warnings are not given. Raises `ShapeError` for axes that are not there or differ in
    length, and `TracerBoolError` for a Python `if` on a mapped value, which is as many values as there are slices.
    """

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        flat = [tree_flatten(arg) for arg in (*args, kwargs)]
        leaves = [leaf for leaves, _ in flat for leaf in leaves]
        names = [name for names in input_names(f, args) for name in names]
        names += [".".join(map(str, path)) for path in tree_paths(kwargs)]
        places = [axis for axis, arg in zip(_per_argument(in_axes, args), args) for axis in _axes_of(axis, arg, "in_axes")]
        places += [0] * (len(leaves) - len(places))
        places = [None if axis is None else _in_range(axis, leaf, n) for axis, leaf, n in zip(places, leaves, names)]
        leaves = [leaf if axis is None else _as_array(leaf) for axis, leaf in zip(places, leaves)]
        lanes = Lanes(_common_size(leaves, places, names, axis_size))
        builder = tracing(concrete=False, lanes=lanes.size)
        traced = iter([x if axis is None else _one_lane(builder, x, axis, n) for x, axis, n in zip(leaves, places, names)])
        *inner, keywords = [tree_unflatten(structure, [next(traced) for _ in found]) for found, structure in flat]
        with inside(builder, keeps=False):
            outputs, structure = tree_flatten(f(*inner, **keywords))
        graph = builder.finish([as_output(out) for out in outputs])
        mapped = [_to_front(x, axis) for x, axis in zip(leaves, places) if axis is not None]
        with np.errstate(all="ignore"):
            found, differ = lanes.evaluate(graph, mapped, (True,) * len(mapped))
        targets = _axes_of(out_axes, tree_unflatten(structure, outputs), "out_axes")
        results = [_from_front(lanes, x, d, axis) for x, d, axis in zip(found, differ, targets)]
        return tree_unflatten(structure, owned(results, leaves))

    return wrapped


def per_example_grad(loss: Callable, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable:
    """The gradient of the loss of each example: `vmap` of `grad`, every argument but `argnums` mapped along axis 0.

    `loss(params, x, y)` is the loss of one example; the result, called with a batch, has the pytree of `params` with one
    more axis, the examples', in front of every leaf. Its mean over that axis is the gradient of the mean loss. With
    `has_aux`, returns (gradients, aux), both so. See `grad` for errors.
    """
    wanted = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @functools.wraps(loss)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        shared = {i % len(args) for i in wanted} if args else set()
        return vmap(grad(loss, argnums, has_aux), tuple(None if i in shared else 0 for i in range(len(args))))(*args, **kwargs)

    return wrapped


def _per_argument(in_axes: Any, args: Sequence[Any]) -> Sequence[Any]:
    """One prefix for each positional argument."""
    if in_axes is None or isinstance(in_axes, int):
        return [in_axes] * len(args)
    if not isinstance(in_axes, (tuple, list)):
        raise GraphTypeError(
            f"vmap: in_axes is an int, None, or a tuple with one for each argument; it is {in_axes!r}. For one argument "
            "that is a pytree write in_axes=(axes,)"
        )
    if len(in_axes) != len(args):
        raise ShapeError(
            f"vmap: in_axes {in_axes!r} has {len(in_axes)} entries, the function was called with {len(args)} positional "
            "argument(s); give one for each (keyword arguments are mapped along axis 0)"
        )
    return in_axes


def _axes_of(prefix: Any, tree: Any, what: str) -> list[Any]:
    """The axis for each leaf of `tree`."""
    try:
        axes = tree_prefix(prefix, tree)
    except ValueError as error:
        raise ShapeError(f"vmap: {what} {prefix!r} is no prefix of what it describes: {error}") from None
    for axis in axes:
        if axis is not None and (isinstance(axis, bool) or not isinstance(axis, (int, np.integer))):
            raise GraphTypeError(f"vmap: {what} is made of ints and None; it has {axis!r}")
    return axes


def _in_range(axis: int, leaf: Any, name: str) -> int:
    rank = np.ndim(leaf)
    if not -rank <= axis < rank:
        hint = "Use None in in_axes for what is the same in all calls" if rank == 0 else f"Its axes are {-rank} to {rank - 1}"
        raise ShapeError(f"vmap: axis {axis} of `{name}`, which has shape {np.shape(leaf)}, is not there. {hint}")
    return int(axis) % rank


def _as_array(leaf: Any) -> Any:
    refuse_subclasses(leaf)
    array = leaf if isinstance(leaf, Tracer) else np.asarray(leaf)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _common_size(leaves: Sequence[Any], places: Sequence[Any], names: Sequence[str], given: int | None) -> int:
    sizes = [(name, leaf.shape[axis], axis) for name, leaf, axis in zip(names, leaves, places) if axis is not None]
    lengths = {size for _, size, _ in sizes}
    if given is not None:
        lengths.add(int(given))
    if not lengths:
        raise ShapeError(
            "vmap: nothing is mapped, so there is no number of calls: give an axis in in_axes for one argument at least, or "
            "axis_size=..."
        )
    if len(lengths) > 1 or min(lengths) < 0:
        shown = [f"`{n}` has {size} along axis {axis}" for n, size, axis in sizes]
        shown += [f"axis_size is {given}"] if given is not None else []
        raise ShapeError(f"vmap: the mapped axes must have one length, but {', '.join(shown)}. Use None for what is not mapped")
    return lengths.pop()


def _one_lane(builder: Any, leaf: Any, axis: int, name: str) -> Tracer:
    """A traced input of the shape and dtype of one slice."""
    shape = leaf.shape[:axis] + leaf.shape[axis + 1 :]
    return new_input(builder, np.broadcast_to(np.zeros((), leaf.dtype), shape), name)


def _to_front(x: Any, axis: int) -> Any:
    return transpose(x, axes=(axis, *(a for a in range(len(x.shape)) if a != axis))) if axis else x


def _from_front(lanes: Lanes, x: Any, mapped: bool, axis: int | None) -> Any:
    if axis is None:
        if mapped:
            raise ShapeError("vmap: out_axes is None for a result that differs between the calls; give it an axis")
        return x
    rank = len(x.shape) + (not mapped)
    if not -rank <= axis < rank:
        raise ShapeError(
            f"vmap: out_axes {axis} for a result that has {rank} axes with the mapped one; it may be {-rank} to {rank - 1}"
        )
    x, axis = spread(lanes, x, mapped), axis % rank
    return transpose(x, axes=(*range(1, axis + 1), 0, *range(axis + 1, rank))) if axis else x


__all__ = ["per_example_grad", "vmap"]
