"""A `straight` equation: a small graph in straight-line code, every element in a register; and `by_rows`, a loop around one.

Arrays are NumPy object arrays of LLVM values while the code is made, so transposes, slices and broadcasts are NumPy's own
and cost nothing at run time. All loads come before all stores.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from llvmlite import ir

from retrograde.codegen.kernel import KernelEmitter
from retrograde.codegen.loops import Accumulator, _identity, _operand_dtype
from retrograde.codegen.scalar import ScalarEmitter, constant, register_type
from retrograde.codegen.view import View
from retrograde.ir import Equation, Graph, Literal, Var
from retrograde.ir.layout import Layout
from retrograde.ops.matmul import matmul


def emit_straight(k: KernelEmitter, body: Graph, operands: list[View], outputs: list[View]) -> None:
    """Emit `outputs` from `operands`, element by element."""
    state = _Straight(k, body, dict(zip(body.inputs, operands)))
    for out, view in zip(body.outputs, outputs):
        elements = state.array(out)
        for index in np.ndindex(*elements.shape):
            k.store(view, index, elements[index])


def emit_rows(k: KernelEmitter, eq: Equation, operands: list[View], outputs: list[View]) -> None:
    """Emit a `by_rows` equation: straight-line code for a row in a loop that LLVM can widen; sums are kept in registers."""
    body: Graph = eq.params["body"]
    kept = eq.params["kept"]
    sums = list(zip(body.outputs[kept:], outputs[kept:]))
    slots = {}
    for atom, view in sums:
        for index in np.ndindex(*view.shape):
            slots[atom, index] = k.alloca(register_type(view.dtype))
            k.b.store(constant(0, view.dtype), slots[atom, index])
    for i in k.count(eq.params["length"]):
        views = {var: _at(k, v, i) if c else v for var, v, c in zip(body.inputs, operands, eq.params["cut"])}
        state = _Straight(k, body, views)
        for atom, view in zip(body.outputs[:kept], outputs):
            elements = state.array(atom)
            for index in np.ndindex(*elements.shape):
                k.store(_at(k, view, i), index, elements[index])
        for atom, view in sums:
            elements = state.array(atom)
            for index in np.ndindex(*elements.shape):
                held = k.b.load(slots[atom, index], typ=register_type(view.dtype))
                k.b.store(Accumulator(k.b, view.dtype).add(held, elements[index]), slots[atom, index])
    for atom, view in sums:
        for index in np.ndindex(*view.shape):
            k.store(view, index, k.b.load(slots[atom, index], typ=register_type(view.dtype)))


def _at(k: KernelEmitter, view: View, row) -> View:
    """One row, its axis kept."""
    layout = view.layout
    pointer = k.address(view, (row, *[0] * (len(view.shape) - 1)))
    return View(pointer, Layout((1, *layout.shape[1:]), layout.strides), view.dtype)


class _Straight:
    def __init__(self, k: KernelEmitter, body: Graph, views: dict[Var, View]):
        self.k, self.views = k, views
        self.values: dict[Var, np.ndarray] = {}
        for eq in body.equations:
            if not self.look(eq):
                self.values[eq.outputs[0]] = self.apply(eq)

    def array(self, atom) -> np.ndarray:
        """The elements of an atom as LLVM values; loaded when first asked for."""
        if isinstance(atom, Literal):
            return _boxed(constant(atom.value, atom.type.dtype))
        if atom not in self.values:
            view = self.views[atom]
            found = np.empty(view.shape, object)
            for index in np.ndindex(*view.shape):
                found[index] = self.k.load(view, index)
            self.values[atom] = found
        return self.values[atom]

    def look(self, eq: Equation) -> bool:
        """Leave a part of an operand in memory, so that only the elements that are used get loaded; says whether it did."""
        source = eq.inputs[0] if eq.primitive.lowering == "view" else None
        if source not in self.views or source in self.values or eq.outputs[0].type.size >= source.type.size:
            return False
        layout = eq.primitive.lower(self.views[source].layout, **eq.params)
        if layout is None:
            return False
        self.views[eq.outputs[0]] = self.views[source].with_layout(layout)
        return True

    def apply(self, eq: Equation) -> np.ndarray:
        """The elements of an equation's output."""
        primitive, shape = eq.primitive, eq.outputs[0].type.shape
        scalar = self.k.scalar(_operand_dtype(eq))
        if primitive is matmul:
            return self._matmul(eq)
        if primitive.lowering == "view":
            return np.asarray(primitive.reference(self.array(eq.inputs[0]), **eq.params))
        if primitive.moves:
            moved = np.asarray(primitive.reference(*map(self.array, eq.inputs), **eq.params))
            nothing = scalar.const(0)
            return np.vectorize(lambda v: nothing if isinstance(v, int) else v, otypes=[object])(moved) if moved.size else moved
        found = np.empty(shape, object)
        if primitive.lowering == "elementwise":
            arrays = [np.broadcast_to(self.array(a), shape) for a in eq.inputs]
            for index in np.ndindex(*shape):
                found[index] = primitive.lower(scalar, *[a[index] for a in arrays], **eq.params)
        elif primitive.lowering == "element":
            readers, types = tuple(map(self._reader, eq.inputs)), tuple(a.type for a in eq.inputs)
            for index in np.ndindex(*shape):
                at = tuple(self.k.index(i) for i in index)
                found[index] = primitive.lower(scalar, at, readers, types, **eq.params)
        else:
            _, combine = primitive.lower()
            axes = eq.params["axes"]
            array = self.array(eq.inputs[0])
            array = np.moveaxis(array, axes, range(len(axes)))
            flat = array.reshape((-1, *shape)) if array.size else np.empty((0, *shape), object)
            for index in np.ndindex(*shape):
                terms = [flat[(i, *index)] for i in range(flat.shape[0])]
                found[index] = _fold(lambda x, y: combine(scalar, x, y), terms) if terms else _identity(eq)
        return found

    def _matmul(self, eq: Equation) -> np.ndarray:
        x, y = self.array(eq.inputs[0]), self.array(eq.inputs[1])
        scalar = self.k.scalar(eq.outputs[0].type.dtype)
        found = np.empty(eq.outputs[0].type.shape, object)
        depth = x.shape[-1]
        for index in np.ndindex(*found.shape):
            *batch, i, j = index
            total = scalar.const(0)
            for d in range(depth):
                p, q = x[(*batch, i, d)], y[(*batch, d, j)]
                if d == 0:
                    total = scalar.mul(p, q)
                else:
                    total = scalar.fma(p, q, total) if scalar.is_float else scalar.add(total, scalar.mul(p, q))
            found[index] = total
        return found

    def _reader(self, atom):
        """How an `element` lowering reads an operand: from registers at a known index, from memory at a computed one."""

        def read(index: tuple) -> ir.Value:
            known = [i.constant if isinstance(i, ir.Constant) else i for i in index]
            if atom in self.views and (atom not in self.values or not all(isinstance(i, int) for i in known)):
                return self.k.load(self.views[atom], index)
            array = self.array(atom)
            if all(isinstance(i, int) for i in known):
                return array[tuple(known)]
            return self._choose(self.k.scalar(atom.type.dtype), array, known)

        return read

    def _choose(self, scalar: ScalarEmitter, array: np.ndarray, index: list) -> Any:
        """An element of a register array at a computed index: a chain of selects."""
        b, select = self.k.b, scalar.select
        ranges = [[i] if isinstance(i, int) else range(n) for i, n in zip(index, array.shape)]
        found = None
        for at in itertools.product(*ranges):
            value = array[at]
            if found is None:
                found = value
                continue
            here = ir.Constant(ir.IntType(1), 1)
            for i, j in zip(index, at):
                if not isinstance(i, int):
                    here = b.and_(here, b.icmp_signed("==", i, self.k.index(j)))
            found = select(here, value, found)
        return found


def _fold(combine, terms: list) -> Any:
    """Pairwise, so that the chain of dependent operations is short."""
    while len(terms) > 1:
        terms = [
            combine(terms[i], terms[i + 1]) if i + 1 < len(terms) else terms[i] for i in range(0, len(terms), 2)
        ]
    return terms[0]


def _boxed(value: ir.Value) -> np.ndarray:
    box = np.empty((), object)
    box[()] = value
    return box
