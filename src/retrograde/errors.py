"""Every error that retrograde raises on purpose.

Each derives from `RetrogradeError` and from the built-in error a person would catch, and its message says what was
given, what was expected and what to write instead.
"""

from __future__ import annotations

from numpy.linalg import LinAlgError


class RetrogradeError(Exception):
    """Base of all errors raised on purpose by retrograde."""


class GraphTypeError(RetrogradeError, TypeError):
    """An operation was given shapes or dtypes it is not defined for."""


class ShapeError(RetrogradeError, ValueError):
    """Shapes do not fit together."""


class DeviceError(RetrogradeError, ValueError):
    """A device was named that there is not."""


class MatrixError(ShapeError, LinAlgError):
    """An operand that is no matrix, or no square one; NumPy's LinAlgError too."""


class GraphError(RetrogradeError, ValueError):
    """A graph breaks its own rules: a pass left it ill-typed or out of order."""


class TracerConversionError(RetrogradeError, TypeError):
    """A traced value was asked to become a plain number or a plain array."""


class TracerBoolError(TracerConversionError):
    """A traced value without a number (under `jit`) was used in Python control flow."""


class WriteError(RetrogradeError, ValueError):
    """Writing into a traced array would not do what it does in NumPy: other arrays would have to change with it."""


class LeakedTracerError(RetrogradeError, RuntimeError):
    """A traced value was used after its trace had ended."""


class UnsupportedError(RetrogradeError, NotImplementedError, TypeError):
    """A NumPy function, argument or dtype that has no rule here; never answered with a wrong number."""


class UnsupportedAttributeError(UnsupportedError, AttributeError):
    """A method or attribute of ndarray that has no rule here."""


class DifferentiationError(RetrogradeError, TypeError):
    """A gradient was asked for that is not defined: integer input, non-scalar loss, no pullback."""


class CheckError(RetrogradeError, AssertionError):
    """A derivative that `rg.check` found to be off."""


class CompileError(RetrogradeError, RuntimeError):
    """Native code could not be made for a graph."""


class ClosesOverTracedError(CompileError):
    """A function to be compiled by itself uses a value of a trace around it."""


class DataError(RetrogradeError, ValueError):
    """Training data or a table that cannot be used as it is."""


class ModelError(RetrogradeError, ValueError):
    """A network, optimizer, loss or `fit` argument that does not fit the rest."""


class ModelFileError(RetrogradeError, ValueError):
    """A model file that is missing, cut short, or not one of ours."""


class DivergenceWarning(RuntimeWarning):
    """The loss of a run became infinite or NaN."""
