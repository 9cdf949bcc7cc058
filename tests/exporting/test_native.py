"""Models as C functions: linked and called, they give what the model gives."""

import ctypes
import platform
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

import retrograde as rg
from retrograde import nn
from retrograde.errors import CompileError, ModelError, UnsupportedError
from retrograde.tree import tree_leaves

HAS_CC = shutil.which("cc") is not None
needs_cc = pytest.mark.skipif(not HAS_CC or sys.platform == "win32", reason="there is no C compiler to link with")
RNG = np.random.default_rng(0)


def normal(*shape, dtype=np.float32):
    return RNG.normal(size=shape).astype(dtype)


def call(path, name, inputs, outputs):
    """The C function at these arrays, writing into those; returns them."""
    function = getattr(ctypes.CDLL(str(path)), name)
    function.restype = None
    function(*(ctypes.c_void_p(array.ctypes.data) for array in (*inputs, *outputs)))
    return outputs


def gives_the_same(path, f, *inputs, name="model_predict", **options):
    """Exported and called, `f` gives at other inputs of these shapes what it gives here."""
    rg.export(f, path, example=tuple(map(np.zeros_like, inputs)), **options)
    want = [np.asarray(y) for y in tree_leaves(f(*inputs))]
    found = call(path, name, inputs, [np.full_like(y, 7) for y in want])
    for a, b in zip(found, want):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)


MLP = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 8), nn.GELU(), nn.Linear(8, 3), nn.Softmax()).init(0)
WIDE = nn.Sequential(nn.Linear(70, 200), nn.ReLU(), nn.LayerNorm(200), nn.Linear(200, 40)).init(1)
IMAGES = nn.Sequential(
    nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(96, 5)
).init(2)  # fmt: skip
SERIES = nn.Sequential(nn.LSTM(3, 5, batch_first=True), nn.TakeOutput(-1)).init(3)


@needs_cc
@pytest.mark.parametrize("cpu", ["generic", "native"])
@pytest.mark.parametrize("net, shape", [(MLP, (1, 12)), (WIDE, (9, 70)), (IMAGES, (2, 2, 8, 8)), (SERIES, (2, 4, 3))])
def test_a_network_as_a_shared_library(net, shape, cpu, tmp_path):
    gives_the_same(tmp_path / "model.so", net, normal(*shape), cpu=cpu)


@needs_cc
@pytest.mark.skipif(platform.machine() != "x86_64", reason="levels of x86-64")
def test_a_level_of_x86(tmp_path):
    from retrograde.runtime.llvm import host

    if host().vector_bytes < 32:
        pytest.skip("this processor is below that level")
    gives_the_same(tmp_path / "model.so", WIDE, normal(4, 70), cpu="x86-64-v3")


@needs_cc
def test_several_arrays_of_several_types(tmp_path):
    def f(x, count, int):  # the last is a word of C's
        z = np.cumsum(x * count[:, None], axis=0)
        return {"sum": np.sum(z), "large": z > 1.0, "int8": (z * int).astype(np.int8)}

    gives_the_same(tmp_path / "model.so", f, normal(3, 4, dtype=np.float64), np.array([2, 0, -1]), np.float32([3.0]))


@needs_cc
def test_no_constants_and_no_working_memory(tmp_path):
    gives_the_same(tmp_path / "model.so", lambda x: x + 1, normal(3))


@needs_cc
def test_threads_call_at_the_same_time(tmp_path):
    rg.export(WIDE, tmp_path / "model.so", example=np.zeros((1, 70), np.float32))
    x = normal(4, 70)
    want = WIDE(x)
    wrong = []

    def work(i):
        for _ in range(300):
            (y,) = call(tmp_path / "model.so", "model_predict", [x[i : i + 1]], [np.zeros((1, 40), np.float32)])
            if not np.allclose(y, want[i : i + 1], atol=1e-4):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@needs_cc
def test_two_objects_in_a_program_of_c(tmp_path):
    """They share no name, and their headers are C."""
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "one.h"\n#include "two.h"\n'
        "int main(void) {\n    float x[70] = {0.5f}, y[40], z[40];\n    one_predict(x, y);\n    second(x, z);\n"
        '    for (int i = 0; i < 40; i++) printf("%.9g %.9g\\n", y[i], z[i]);\n    return 0;\n}\n'
    )
    example = np.zeros((1, 70), np.float32)
    exported = rg.export(WIDE, tmp_path / "one.o", example=example)
    assert exported.files == [tmp_path / "one.o", tmp_path / "one.h"]
    assert "void one_predict(const float *x, float *y);" in str(exported) == (tmp_path / "one.h").read_text()
    rg.export(WIDE, tmp_path / "two.o", example=example, name="second", metadata={"odd": "a comment's end, */, does no harm"})
    build = ["cc", "-Wall", "-Werror", "-o", "program", "main.c", "one.o", "two.o", "-lm"]
    subprocess.run(build, cwd=tmp_path, check=True)
    said = subprocess.run([str(tmp_path / "program")], capture_output=True, text=True, check=True).stdout
    found = np.array([line.split() for line in said.splitlines()], float)
    example[0, 0] = 0.5
    np.testing.assert_allclose(found, np.tile(WIDE(example).T, 2), rtol=1e-4, atol=1e-5)


@needs_cc
def test_odd_names_are_made_such_as_c_takes(tmp_path):
    """Keywords of C++ too, which reads the header; and what a keyword becomes may be somebody else's name."""

    def f(int, int_, friend, uint8_t):
        return {"class": int - int_, "class_": friend, "größe": uint8_t}

    x = [np.full(2, i, np.float32) for i in range(4)]
    header = str(rg.export(f, tmp_path / "model.so", example=tuple(x)))
    assert (
        "void model_predict(const float *int__, const float *int_, const float *friend_, const float *uint8_t_, "
        "float *class__, float *class_, float *gr__e);"
    ) in header and "   int__: 2 numbers" in header
    gives_the_same(tmp_path / "model.so", f, *x)


def test_what_scipy_would_have_to_bring_is_refused(tmp_path):
    with pytest.raises(UnsupportedError, match="which SciPy brings"):
        rg.export(lambda x: np.linalg.cholesky(x @ x.T + np.eye(3)), tmp_path / "model.o", example=normal(3, 3, dtype=np.float64))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options, error, said", [
    ({}, ModelError, "pass example"),
    ({"example": normal(1, 12), "name": "2b"}, ModelError, "name of a C function"),
    ({"example": normal(1, 12), "name": "main"}, ModelError, "name of a C function"),
    ({"example": normal(1, 12), "name": "export"}, ModelError, "name of a C function"),
    ({"example": normal(1, 12), "cpu": "abacus"}, CompileError, "choose one of generic"),
    ({"example": normal(1, 12), "format": "pickle"}, ModelError, "safetensors, npz, object, shared, onnx"),
])  # fmt: skip
def test_what_does_not_fit_is_told(options, error, said, tmp_path):
    with pytest.raises(error, match=said):
        rg.export(MLP, tmp_path / "model.o", **options)
    assert not list(tmp_path.iterdir())


def test_what_c_has_no_type_for_is_refused(tmp_path):
    with pytest.raises(UnsupportedError, match=r"y is c64\[3\], which C has no type for"):
        rg.export(lambda x: x * np.complex64(1j), tmp_path / "model.o", example=normal(3))


def test_a_description_of_a_network_is_refused(tmp_path):
    with pytest.raises(ModelError, match="init or train"):
        rg.export(nn.Linear(3, 2), tmp_path / "model.o", example=normal(1, 3))


def test_without_a_c_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(CompileError, match=r"model\.o needs none"):
        rg.export(MLP, tmp_path / "model.so", example=normal(1, 12))
    rg.export(MLP, tmp_path / "model.o", example=normal(1, 12))
