"""`Writer`: equations of a graph as nodes of an ONNX graph, by the table in `onnx_nodes.py`.

An ONNX graph is written for a batch of any length where one can: `Batches(k)` in a shape stands for k times that length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from retrograde.errors import UnsupportedError
from retrograde.exporting.batches import Batches, FixedBatchError, Opened, Size, thinned
from retrograde.ir import Atom, Equation, Graph, Literal, Var

Rule = Callable[..., str | Sequence[str]]


class Writer:
    """The `nodes` of an ONNX graph. Values are the names that ONNX knows them by.

    `opened` has the open sizes in the graph, `batch` is the input whose first axis the batch is.
    """

    def __init__(self, rules: Mapping[str, Rule], opened: Opened, batch: str):
        self.rules, self.opened, self.batch = rules, opened, batch
        self.nodes: list[onnx.NodeProto] = []
        self.values: dict[str, np.ndarray] = {}  # of those that are constant
        self._constants: dict[Any, str] = {}
        self._read: set[str] = set()
        self._taken = {*opened.model.inputs, *opened.model.outputs}
        self._count = 0

    def graph(self, graph: Graph, inputs: Sequence[str]) -> list[str]:
        """Emit the equations of a graph; returns its outputs."""
        names: dict[Atom, str] = dict(zip(graph.inputs, inputs))
        names.update((var, self._spread(thinned(value, self.shape(var)), var)) for var, value in graph.constants.items())

        def name(atom: Atom) -> str:
            return self.constant(atom.value) if isinstance(atom, Literal) else names[atom]

        for eq in graph.equations:
            found = self._equation(eq, [name(a) for a in eq.inputs])
            names.update(zip(eq.outputs, [found] if isinstance(found, str) else found))
        return [name(a) for a in graph.outputs]

    def _spread(self, value: np.ndarray, var: Var) -> str:
        found = self.constant(value, var.type.dtype)
        return found if value.shape == var.type.shape else self.node("Expand", found, self.sizes(self.shape(var)))

    def inside(self, name: str, graph: Graph, inputs: Sequence[str], infos: Sequence[onnx.ValueInfoProto]) -> onnx.GraphProto:
        """A graph inside a node, which takes what `infos` name and has other `inputs` by name from around it."""
        outside, self.nodes = self.nodes, []
        made = self.graph(graph, inputs)
        results = [self.node("Identity", result) for result in made]
        types = [self.info(result, atom) for result, atom in zip(results, graph.outputs)]
        inner, self.nodes = helper.make_graph(self.nodes, name, infos, types), outside
        return inner

    def _equation(self, eq: Equation, inputs: list[str]) -> str | Sequence[str]:
        rule, params = self.rules.get(eq.primitive.name), self.opened.params.get(eq, eq.params)
        why = "of which ONNX has no counterpart here"
        if rule is not None:
            try:
                return rule(self, eq, *inputs, **params)
            except NotImplementedError as error:
                why = str(error)
        place = f" (line {eq.source[1]} of {eq.source[0]})" if eq.source else ""
        raise UnsupportedError(
            f"the model does {eq.primitive.name}{place}, {why}. Leave it out of the model, or export a C function (.o, .so)"
        )

    def node(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """One node; returns its output's name, or a list where there are several."""
        names = [self.fresh() for _ in range(outputs)]
        self.emit(op, inputs, names, **attributes)
        return names[0] if outputs == 1 else names

    def emit(self, op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        """One node, whose outputs have these names."""
        self.nodes.append(helper.make_node(op, inputs, outputs, **attributes))
        self._read.update(inputs)

    def fresh(self) -> str:
        """A name that nothing has."""
        self._count += 1
        name = f"v{self._count}"
        return self.fresh() if name in self._taken else name

    def constant(self, value: Any, dtype: Any = None) -> str:
        """A constant; equal numbers are one."""
        array = np.array(value, dtype, order="C")
        key = (array.dtype, array.shape, array.tobytes())
        if key not in self._constants:
            name = self._constants[key] = self.fresh()
            self.values[name] = array
        return self._constants[key]

    def initializers(self) -> list[onnx.TensorProto]:
        """The constants that a node reads."""
        return [numpy_helper.from_array(array, name) for name, array in self.values.items() if name in self._read]

    def like(self, eq: Equation, value: Any) -> str:
        """A number of the dtype of the first operand."""
        return self.constant(value, eq.inputs[0].type.dtype)

    def shape(self, atom: Atom) -> tuple[Size, ...]:
        """The shape of a value, with its open sizes."""
        return self.opened.shapes.get(atom, atom.type.shape)

    def info(self, name: str, atom: Atom) -> onnx.ValueInfoProto:
        """The value's type, under this name."""
        dims = [n if not isinstance(n, Batches) else "batch" if n.count == 1 else f"{n.count}*batch" for n in self.shape(atom)]
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(atom.type.dtype), dims)

    def integers(self, values: Sequence[Size]) -> str:
        """A list of numbers, none of them open."""
        return self.constant([self.known(v) for v in values], np.int64)

    @staticmethod
    def known(size: Size) -> int:
        """The size, if it is not open."""
        if isinstance(size, Batches):
            raise FixedBatchError
        return int(size)

    def sizes(self, shape: Sequence[Size]) -> str:
        """A shape, computed in the ONNX graph where it is open."""
        if not any(isinstance(n, Batches) for n in shape):
            return self.integers(shape)
        length = self.node("Shape", self.batch, start=0, end=1)
        parts = [
            self.node("Mul", length, self.integers([n.count])) if isinstance(n, Batches) else self.integers([n]) for n in shape
        ]
        return self.node("Concat", *parts, axis=0)

    def transpose(self, x: str, axes: Sequence[int]) -> str:
        """x with its axes in this order."""
        if x in self.values:
            return self.constant(self.values[x].transpose(list(axes)))
        return x if list(axes) == list(range(len(axes))) else self.node("Transpose", x, perm=list(axes))

    def reshape(self, x: str, shape: Sequence[Size]) -> str:
        """x in this shape."""
        if x in self.values:
            return self.constant(self.values[x].reshape([self.known(n) for n in shape]))
        found = [n for n in shape if isinstance(n, Batches)]
        if len(found) == 1 and 0 not in shape:
            return self.node("Reshape", x, self.integers([-1 if isinstance(n, Batches) else n for n in shape]))
        return self.node("Reshape", x, self.sizes(shape), allowzero=1)
