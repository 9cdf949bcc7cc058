"""Native code from typed graphs: emitters, loop nests, kernels and vector math in LLVM IR."""
