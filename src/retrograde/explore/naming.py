"""Names for values while a function is traced: the user's variables, read from their frames, and the calls of layers.

Whenever an equation is recorded, the local variables of the user's functions are looked at. A variable that stands for
several values one after another, as in a loop, numbers them: h0, h1, h2 (from h1 on where it was a plain array before). So do
the elements of a list.
"""

from __future__ import annotations

import linecache
import os
import sys
from typing import Any

import numpy as np
import optree

from retrograde.control.loops import step_by_step
from retrograde.ir import Builder, Var
from retrograde.nn.module import Module
from retrograde.trace import Tracer
from retrograde.tree import tree_leaves

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_HERE = os.path.join(_PACKAGE, "explore") + os.sep
_CLI = os.path.join(_PACKAGE, "cli") + os.sep  # what the command line looks into is written as a person writes it
_RECURRENT = os.path.join(_PACKAGE, "nn", "recurrent.py")
_GATES = frozenset("uaifgorzn")  # what a step of nn/recurrent.py calls its preactivations and gates
_LOSSES = os.path.join(_PACKAGE, "nn", "losses.py")
_LIBRARIES = tuple(os.path.dirname(os.path.abspath(str(library.__file__))) + os.sep for library in (np, optree))
LISTED = 1000  # elements of a list that are looked at for names


class Call:
    """One call of a layer, or of a loss of `nn`: its name, and the parameters of the layer in its order."""

    def __init__(self, frame: Any, name: str, parameters: dict[str, Var]):
        self.frame, self.name, self.parameters = frame, name, parameters


class Place(tuple):
    """The user's (file, line, function), and the layer's call that it is inside of."""

    call: Call | None = None


class Naming:
    """Looks on while `builder` records; ask `names` afterwards."""

    def __init__(self, builder: Builder):
        self.builder = builder
        self.seen: dict[str, dict[Var | None, None]] = {}  # None for what was a plain array at first
        self.listed: dict[str, Var] = {}
        self.arrays: dict[int, tuple[str, Any]] = {}  # plain arrays by identity, which they keep while they are held here
        self.calls: list[Call] = []
        builder.locate = self.locate

    def locate(self) -> Place | None:
        """The user's line for the equation that is being recorded; on the way to it, what its variables are called."""
        frame: Any = sys._getframe(1)
        place: Place | None = None
        call: Call | None = None
        users: list[Any] = []
        loop: Any = None
        while frame is not None and not frame.f_code.co_filename.startswith(_HERE):
            file = frame.f_code.co_filename
            layer = frame.f_locals.get("self") if frame.f_code.co_name == "__call__" else None
            if frame.f_code is step_by_step.__code__:
                loop = frame
            elif file == _RECURRENT and frame.f_code.co_name == "_step" and loop is None:
                self._look_at_gates(frame.f_locals)
            elif file == _RECURRENT and frame.f_code.co_name == "_run":
                self._look({"fed": frame.f_locals.get("fed")}, ())
            elif file == _RECURRENT and isinstance(layer, Module):  # is no step by itself: its states in time are
                if loop is not None:
                    self._look(dict(zip("hc", tree_leaves(loop.f_locals["carry"]))), ())
            elif isinstance(layer, Module) and call is None and not _has_parts(layer):
                call = self._call(frame, type(layer).__name__, layer)
                users.clear()
            elif file == _LOSSES and not frame.f_code.co_name.startswith("_"):
                call = self._call(frame, frame.f_code.co_name, None)
            if file.startswith(_CLI) or not file.startswith((_PACKAGE, *_LIBRARIES)):
                users.append(frame)
                if place is None or (call is not None and call.frame is frame):
                    place = Place((file, frame.f_lineno, frame.f_code.co_name))
            frame = frame.f_back
        for user in reversed(users):
            self._look(user.f_locals, user.f_code.co_freevars)
        if place is None and call is not None:  # nobody's code but the layer's own
            code = call.frame.f_code
            place = Place((code.co_filename, call.frame.f_lineno, code.co_name))
        if place is not None:
            place.call = call
        return place

    def _call(self, frame: Any, name: str, layer: Module | None) -> Call:
        for call in reversed(self.calls):
            if call.frame is frame:
                return call
        own = {key: getattr(layer, key) for key in layer.dynamic} if layer is not None else {}
        found = {}
        for key, value in own.items():
            if isinstance(value, Tracer) and value._builder is self.builder and isinstance(value.atom, Var):
                found[key] = value.atom
        self.calls.append(Call(frame, name, found))
        return self.calls[-1]

    def _look(self, variables: dict[str, Any], around: tuple[str, ...]) -> None:
        for name, value in list(variables.items()):
            if isinstance(value, Tracer):
                self._note(name, value)
            elif isinstance(value, np.ndarray):
                if name in around:
                    self.arrays[id(value)] = name, value
                else:
                    self.arrays.setdefault(id(value), (name, value))
                    self.seen.setdefault(name, {None: None})
            elif type(value) in (list, tuple) and len(value) <= LISTED:
                for i, element in enumerate(value):
                    if isinstance(element, Tracer) and element._builder is self.builder and isinstance(element.atom, Var):
                        self.listed.setdefault(f"{name}{i}", element.atom)

    def _look_at_gates(self, variables: dict[str, Any]) -> None:
        """What a recurrent step has computed so far, numbered from 1, as the state that comes of it is."""
        found = {name: variables[name] for name in sorted(_GATES & variables.keys())}
        for name in found:
            self.seen.setdefault(name, {None: None})
        self._look(found, ())

    def _note(self, name: str, value: Tracer) -> None:
        if value._builder is self.builder and isinstance(value.atom, Var) and name.isidentifier():
            self.seen.setdefault(name, {})[value.atom] = None

    def names(self) -> dict[str, Var]:
        """Every name with its value, in the order in which they were seen; the frames are let go."""
        found = dict(self.listed)
        for name, values in self.seen.items():
            for i, var in enumerate(values):
                if var is None:
                    continue
                found.setdefault(name if len(values) == 1 else f"{name}{i}", var)
        for value, var in self.builder._lifted.values():
            while id(value) not in self.arrays and isinstance(value, np.ndarray) and value.base is not None:
                value = value.base  # a view that was taken on the way, by a product of a matrix and a vector
            if id(value) in self.arrays:
                name = self.arrays[id(value)][0]
                several = len(self.seen.get(name, ())) > 1 and None in self.seen[name]
                found.setdefault(f"{name}0" if several else name, var)  # a loop's first value, before it is computed
        self.arrays.clear()
        for call in self.calls:
            call.frame = None
        return found


def _has_parts(layer: Module) -> bool:
    """Whether a module is made of others."""
    return any(
        isinstance(part, Module) or any(isinstance(x, Module) for x in (part if isinstance(part, (list, tuple)) else ()))
        for part in layer.__dict__.values()
    )


def source_line(place: tuple | None) -> str:
    """The text of a line of source, empty where there is none."""
    return linecache.getline(place[0], place[1]).strip() if place else ""


__all__ = ["Call", "Naming", "Place", "source_line"]
