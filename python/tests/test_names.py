"""The interface in C++ and that in Python have the same names."""

from __future__ import annotations

import re

import onnxport
from conftest import SOURCES
from onnxport import TasksManager
from onnxport.exporters import onnx
from onnxport.native import native

HEADERS = SOURCES / "include" / "onnxport"

# Ops that only passes make.
MADE_BY_PASSES = {"bias_gelu", "add_layer_norm", "add_rms_norm"}


def test_ops() -> None:
    text = (HEADERS / "op.h").read_text(encoding="utf-8").partition("namespace onnxport::op::detail")[0]
    declared = set(re.findall(r"^ONNXPORT_API [\w:<>]+ (\w+)\(", text, re.MULTILINE))
    assert declared - set(dir(native.op)) == MADE_BY_PASSES


def test_configuration_classes() -> None:
    text = "".join((HEADERS / name).read_text(encoding="utf-8") for name in ("onnx_config.h", "middle_end.h"))
    declared = set(
        re.findall(r"^class ONNXPORT_API (\w+OnnxConfig|OnnxConfig\w*|OnnxSeq2Seq\w+) ", text, re.MULTILINE)
    )
    assert declared
    for name in declared:
        assert hasattr(onnx, name), name


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
