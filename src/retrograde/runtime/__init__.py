"""Running native code: LLVM's just-in-time compiler, buffers, progress and interruption."""
