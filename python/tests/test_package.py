"""The package as such: what importing it costs, and what it says about itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import onnxport
import pytest
from onnxport.native import native

PACKAGE = Path(onnxport.__file__).resolve().parent


def python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_version() -> None:
    assert onnxport.__version__ == native.version


def test_import_is_quick_and_without_torch() -> None:
    measure = (
        "import sys, time; start = time.process_time(); import onnxport; took = time.process_time() - start\n"
        "assert not {'torch', 'transformers', 'numpy', 'onnxport._native'} & set(sys.modules)\n"
        "print(took)"
    )
    assert min(float(python(measure)) for _ in range(5)) < 0.06


def test_nothing_imports_torch() -> None:
    code = (
        "import sys, onnxport.exporters.onnx.convert, onnxport.exporters.onnx.validation, onnxport.nn, onnxport.op\n"
        "import onnxport.onnxruntime, onnxport.utils, onnxport.exporters.onnx.model_configs\n"
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    assert python(code) == "set()"


def test_names() -> None:
    for name in onnxport.__all__:
        assert getattr(onnxport, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        onnxport.nothing  # noqa: B018


@pytest.mark.parametrize("name", ["", "op", "nn"])
def test_stubs_name_the_extension(name: str) -> None:
    stub = PACKAGE / "_native" / f"{name or '__init__'}.pyi"
    declared = set()
    for node in ast.parse(stub.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            declared.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            declared.add(node.target.id)
    module = getattr(native, name) if name else native
    public = {one for one in dir(module) if not one.startswith("_")} - {"nn", "op"}
    assert declared == public


def test_every_function_has_a_docstring() -> None:
    missing = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), f"{path} has no docstring"
        for node in tree.body:
            public = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
            if public and not ast.get_docstring(node):
                missing.append(f"{path.name}: {node.name}")
    assert not missing
