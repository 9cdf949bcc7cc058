"""Backpropagation for the NumPy you already write: traced, differentiated, compiled to native code, and open to look into."""

__version__ = "0.1.0"
