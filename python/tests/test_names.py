"""The interface in C++ and that in Python have the same names. Both are read from the pages of docs/reference."""

from __future__ import annotations

import re

import onnxport
from conftest import SOURCES
from onnxport import TasksManager
from onnxport.exporters import onnx
from onnxport.native import native

PAGES = SOURCES / "docs" / "reference"

# Ops that only passes make.
MADE_BY_PASSES = {"bias_gelu", "add_layer_norm", "add_rms_norm"}
# Names that differ in C++.
OTHER_NAMES = {
    "export": "export_onnx",  # a keyword of C++
    "DummySeq2SeqPastKeyValuesGenerator": "DummySeq2SeqInputGenerator",
    "DummySeq2SeqDecoderTextInputGenerator": "DummySeq2SeqInputGenerator",
    "DummyDecoderTextInputGenerator": "DummySeq2SeqInputGenerator",
}
# Names for scripts only: containers of live models, torch's words, and the interface of other packages around functions
# that C++ has under another name.
ONLY_PYTHON = {
    "ModelPatcher", "export_models", "onnx_export_from_model", "validate_models_outputs",
    "AutoOptimizationConfig", "AutoQuantizationConfig", "ORTOptimizer", "ORTQuantizer", "OptimizationConfig",
    "QuantizationConfig", "install", "installed", "uninstall",
    # Optimum's generators and configurations for classes of scripts; the library makes these inputs without a class.
    "DummyBboxInputGenerator", "DummyLabelsGenerator", "DummyPointsGenerator", "DummyTimestepInputGenerator",
    "GemmaDummyPastKeyValuesGenerator", "MistralDummyPastKeyValuesGenerator", "NormalizedConfigManager",
    "NormalizedEncoderDecoderConfig", "NormalizedSegformerConfig", "NormalizedTextAndVisionConfig",
    "NormalizedTextConfigWithGQA", "NormalizedTimeSeriesForecastingConfig",
}  # fmt: skip


def headings(language: str) -> set[str]:
    """The names of all headings of the pages."""
    texts = (path.read_text(encoding="utf-8") for path in (PAGES / language).rglob("*.md"))
    return {name for text in texts for name in re.findall(r"^## `(.+)`$", text, re.MULTILINE)}


def members(page: str, name: str) -> set[str]:
    """The functions that a class on a page has."""
    code = (PAGES / page).read_text(encoding="utf-8").partition(f"{name}`\n\n```")[2].partition("\n```")[0]
    code = re.sub(r'""".*?"""|//.*?$', "", code, flags=re.DOTALL | re.MULTILINE)
    return set(re.findall(r"^ +(?:def |[\w:<>&*, ]+ \*?&?)(\w+)\(", code, re.MULTILINE))


CPP, PYTHON = headings("cpp"), headings("python")


def inside(names: set[str], place: str) -> set[str]:
    """The names in a namespace or module."""
    found = {name.removeprefix(place) for name in names if name.startswith(place)}
    return {name for name in found if ":" not in name and "." not in name}


def test_there_are_pages() -> None:
    assert len(CPP) > 500
    assert len(PYTHON) > 150


def test_ops() -> None:
    functions = {name for name in inside(CPP, "onnxport::op::") if name.islower()}
    assert functions - inside(PYTHON, "onnxport.op.") == MADE_BY_PASSES
    assert inside(PYTHON, "onnxport.op.") <= functions
    assert inside(PYTHON, "onnxport.op.") == {name for name in dir(native.op) if not name.startswith("_")}


def test_modules() -> None:
    """The modules in Python have the names of those in C++, of which they are some."""
    cpp = {name.split("::")[-1] for name in CPP}
    assert inside(PYTHON, "onnxport.nn.") - cpp == set()
    assert inside(PYTHON, "onnxport.nn.") >= {name for name in dir(native.nn) if not name.startswith("_")}


def test_everything_else() -> None:
    cpp = {name.split("::")[-1] for name in CPP}
    names = {name.split(".")[-1] for name in PYTHON if not name.startswith(("onnxport.op.", "onnxport.nn."))}
    assert {name for name in names if OTHER_NAMES.get(name, name) not in cpp} == ONLY_PYTHON


def test_configuration_classes() -> None:
    declared = {name for name in inside(CPP, "onnxport::") if "OnnxConfig" in name and "Options" not in name}
    declared -= {"OnnxConfigConstructor", "MakeOnnxConfig"}  # functions that make one
    assert len(declared) > 8
    for name in declared:
        assert hasattr(onnx, name), name


def test_methods_of_the_registry() -> None:
    cpp, python = (
        members(page, name)
        for page, name in (
            ("cpp/tasks_manager.md", "onnxport::TasksManager"),
            ("python/onnxport.exporters.md", "onnxport.exporters.TasksManager"),
        )
    )
    assert "get_model_from_task" in cpp & python
    queries = {
        name
        for name in cpp
        if name.startswith(("get_supported", "infer_", "map_", "get_exporter", "get_model_from"))
    }
    assert len(queries) >= 5
    assert queries <= python


def test_correspondence() -> None:
    """The table of docs/api.md names Optimum's interface, which is that of the package."""
    text = (SOURCES / "docs" / "api.md").read_text(encoding="utf-8")
    table = text[text.index("| Optimum, Python |") :].partition("\n\n")[0]
    for name in re.findall(r"`TasksManager\.(\w+)\(", table):
        assert hasattr(TasksManager, name), name
    for name in re.findall(r"^\| `(\w+)\(", table, re.MULTILINE):
        if name not in ("snapshot_download", "generate_dummy_inputs"):
            assert hasattr(onnx, name) or hasattr(onnxport, name), name
    for name in re.findall(r"^\| `([A-Z_]+)`", table, re.MULTILINE):
        assert hasattr(onnx.OnnxConfig, name), name
