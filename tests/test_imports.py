"""Imports run one way: types, ir, ops, numpy, then the stages side by side, then what composes them."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "retrograde"
BASE = {"types", "errors"}
ALLOWED = {
    "types": set(), "errors": set(), "tree": set(),
    "ir": BASE,
    "ops": BASE | {"ir"},
    "numpy": BASE | {"ir", "ops"},
    "random": BASE | {"ops", "numpy"},
    "spatial": BASE | {"ops", "numpy"},
    "scipy": BASE | {"ir", "ops", "numpy"},
    "trace": BASE | {"ir", "ops", "numpy", "scipy", "tree"},
    "autodiff": BASE | {"ir", "ops"},
    "batching": BASE | {"ir", "ops"},
    "optimize": BASE | {"ir", "ops"},
    "memory": BASE | {"ir", "ops"},
    "parallel": BASE | {"ir", "ops"},
    "codegen": BASE | {"ir", "ops"},
    "runtime": BASE,
    "transforms": BASE | {"ir", "ops", "tree", "trace", "autodiff", "batching"},
    "pushforward": BASE | {"ir", "ops", "tree", "trace", "autodiff", "batching", "transforms"},
    "custom": BASE | {"ir", "ops", "tree", "trace"},
    "vectorize": BASE | {"ir", "ops", "tree", "trace", "batching", "transforms"},
    "compile": BASE | {"ir", "tree", "trace", "optimize", "memory", "parallel", "codegen", "runtime"},
}  # fmt: skip
ALLOWED["checking"] = BASE | {"ir", "ops", "tree", "trace", "autodiff", "transforms", "pushforward"}
ALLOWED["precision"] = BASE | {"ir", "ops", "tree", "trace"}
ALLOWED["control"] = BASE | {"ir", "ops", "numpy", "tree", "trace"}
API = {
    "", "control", "numpy", "scipy", "random", "tree", "transforms", "pushforward", "custom", "checking", "vectorize", "compile",
    "precision", "spatial", *BASE,
}  # fmt: skip
ALLOWED["nn"] = ALLOWED["optim"] = API
ALLOWED["io"] = API | {"nn", "optim"}
ALLOWED["train"] = API | {"nn", "optim", "io", "explore"}  # a run is watched, and its updates opened, by the glass box
ALLOWED["explore"] = API | {"ir", "ops", "trace", "autodiff", "nn", "io"}
ALLOWED["exporting"] = API | {"ir", "ops", "trace", "nn", "io"}
ALLOWED["sklearn"] = API | {"nn", "optim", "train", "io", "explore"}
ALLOWED["cli"] = ALLOWED["sklearn"] | {"exporting"}
FILES = sorted(p for p in SOURCE.rglob("*.py") if p != SOURCE / "__init__.py")


def imports(path):
    """Dotted names of all modules that a file imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(SOURCE.parent).parts[:-1]
            prefix = ".".join(package[: len(package) - node.level + 1]) + "." if node.level else ""
            base = (prefix + (node.module or "")).rstrip(".")
            yield base
            if base == "retrograde":
                own = {p.stem for p in SOURCE.iterdir()}
                yield from (f"{base}.{alias.name}" for alias in node.names if alias.name in own)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_one_way(path):
    home = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    for name in imports(path):
        parts = name.split(".")
        assert parts[0] not in ("pickle", "cloudpickle", "dill", "joblib"), f"{path} reads or writes pickles"
        if name.startswith("llvmlite"):
            wanted = "codegen" if parts[:2] != ["llvmlite", "binding"] else "runtime"
            assert home == wanted, f"{path} imports {name}"
        if parts[0] == "retrograde" and len(parts) > 1 and parts[1] != home:
            assert parts[1] in ALLOWED[home], f"{path} imports {name}; {home} may import {sorted(ALLOWED[home])}"


def test_import_retrograde_is_light():
    import subprocess
    import sys

    heavy = ["scipy", "sklearn", "llvmlite", "rich", "typer", "pyarrow", "pandas", "matplotlib", "ml_dtypes"]
    code = f"import sys, retrograde; print([m for m in {heavy!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
