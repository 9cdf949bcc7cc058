"""Pytrees: nested tuples, lists, dicts and modules of arrays (optree, in the namespace "retrograde")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optree

NAMESPACE = "retrograde"
TreeDef = optree.PyTreeSpec


def tree_flatten(tree: Any) -> tuple[list[Any], TreeDef]:
    """Leaves from left to right, and the structure to put them back with; None is an empty subtree."""
    return optree.tree_flatten(tree, namespace=NAMESPACE)


def tree_unflatten(structure: TreeDef, leaves: Any) -> Any:
    """The tree of this structure with these leaves."""
    return optree.tree_unflatten(structure, leaves)


def tree_leaves(tree: Any) -> list[Any]:
    """The leaves from left to right."""
    return optree.tree_leaves(tree, namespace=NAMESPACE)


def tree_structure(tree: Any) -> TreeDef:
    """The structure without the leaves."""
    return optree.tree_structure(tree, namespace=NAMESPACE)


def tree_map(f: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """`f` applied leaf by leaf to trees of one structure."""
    return optree.tree_map(f, tree, *rest, namespace=NAMESPACE)


def tree_fill(tree: Any, other: Any) -> Any:
    """The leaves of `tree`, and where it has None those of `other`, a tree that is built alike."""
    return optree.tree_map(lambda a, b: b if a is None else a, tree, other, none_is_leaf=True, namespace=NAMESPACE)


def tree_paths(tree: Any) -> list[tuple[Any, ...]]:
    """For each leaf the keys that lead to it."""
    return optree.tree_paths(tree, namespace=NAMESPACE)


def tree_names(tree: Any) -> list[str]:
    """For each leaf those keys joined by dots, without the ones that a node's attribute `unnamed` lists: PyTorch's names."""

    def names(node: Any, head: tuple[str, ...]) -> list[str]:
        if optree.tree_is_leaf(node, namespace=NAMESPACE):
            return [".".join(head)]
        below = optree.tree_flatten_one_level(node, namespace=NAMESPACE)
        passed = getattr(node, "unnamed", ())
        children = zip(below.entries, below.children)
        return [name for key, child in children for name in names(child, head if key in passed else (*head, str(key)))]

    return names(tree, ())


def tree_prefix(prefix: Any, tree: Any) -> list[Any]:
    """For each leaf of `tree` what `prefix`, a tree that may stop earlier, says of it; None and non-nodes say it of all below.

    Raises ValueError where the prefix is built otherwise than the tree.
    """
    if prefix is None or optree.tree_is_leaf(prefix, namespace=NAMESPACE):
        return [prefix] * len(tree_leaves(tree))
    said = optree.tree_flatten_one_level(prefix, namespace=NAMESPACE)
    if type(prefix) is not type(tree):
        raise ValueError(f"a {type(prefix).__name__} where the tree has a {type(tree).__name__}")
    below = optree.tree_flatten_one_level(tree, namespace=NAMESPACE)
    if said.entries != below.entries:
        raise ValueError(f"{type(tree).__name__} with {list(said.entries)} where the tree has {list(below.entries)}")
    return [axis for p, t in zip(said.children, below.children) for axis in tree_prefix(p, t)]


def register_node(cls: type, flatten: Callable, unflatten: Callable) -> None:
    """Make `cls` a node: `flatten(obj) -> (children, aux, names)`, `unflatten(aux, children) -> obj`."""
    optree.register_pytree_node(cls, flatten, unflatten, namespace=NAMESPACE)
