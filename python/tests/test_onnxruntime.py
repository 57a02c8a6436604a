"""ORTQuantizer and ORTOptimizer."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnxport import ExportError, main_export
from onnxport.onnxruntime import AutoOptimizationConfig, AutoQuantizationConfig, ORTOptimizer, ORTQuantizer


@pytest.fixture(scope="module")
def exported(bert_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    main_export(bert_folder, folder, do_validation=False)
    return folder


def test_quantize(exported: Path, tmp_path: Path) -> None:
    quantizer = ORTQuantizer.from_pretrained(exported)
    config = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=False)
    assert quantizer.quantize(config, tmp_path) == tmp_path
    names = {path.name for path in tmp_path.iterdir()}
    assert {"model_quantized.onnx", "ort_config.json", "config.json"} <= names
    assert b"MatMulInteger" in (tmp_path / "model_quantized.onnx").read_bytes()


def test_suffix_and_same_folder(exported: Path, bert_folder: Path, tmp_path: Path) -> None:
    main_export(bert_folder, tmp_path, do_validation=False)
    quantizer = ORTQuantizer.from_pretrained(tmp_path)
    quantizer.quantize(AutoQuantizationConfig.arm64(is_static=False), tmp_path, file_suffix="int8")
    assert {path.name for path in tmp_path.glob("*.onnx")} == {"model.onnx", "model_int8.onnx"}


def test_errors(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="static quantization") as raised:
        AutoQuantizationConfig.arm64(is_static=True)
    assert raised.value.code == "unsupported"
    with pytest.raises(ExportError, match=r"no \.onnx file"):
        ORTQuantizer.from_pretrained(tmp_path)
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / name).write_bytes((exported / "model.onnx").read_bytes())
    with pytest.raises(ExportError, match="give a file_name"):
        ORTQuantizer.from_pretrained(tmp_path)


def test_optimize(exported: Path, bert_folder: Path, tmp_path: Path) -> None:
    optimizer = ORTOptimizer.from_pretrained(exported)
    with pytest.raises(ExportError, match="export the optimized model from the checkpoint"):
        optimizer.optimize(AutoOptimizationConfig.O2(), tmp_path)
    optimizer.optimize(AutoOptimizationConfig.O2(), tmp_path, model=bert_folder)
    assert (tmp_path / "model_optimized.onnx").exists()
