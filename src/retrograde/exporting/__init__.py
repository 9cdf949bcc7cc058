"""Models that leave the house: for PyTorch, as C code's object file or shared library, and as ONNX (see `export`)."""
