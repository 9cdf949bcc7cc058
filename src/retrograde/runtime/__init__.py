"""Running native code: LLVM's just-in-time compiler, BLAS, buffers, progress and interruption."""
