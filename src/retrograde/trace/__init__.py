"""From a person's NumPy code to a graph."""

from retrograde.trace.trace import input_names, refuse_subclasses, trace_to_graph, tracing, user_location
from retrograde.trace.tracer import Tracer

__all__ = ["Tracer", "input_names", "refuse_subclasses", "trace_to_graph", "tracing", "user_location"]
