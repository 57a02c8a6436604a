"""Comparing exported files with their models."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import ExportError
from ...native import native
from ...reports import ValidationReport
from ..live import is_live
from ..sources import opened
from .base import OnnxConfig
from .live_outputs import record_outputs
from .options import shape_options, without_effect

__all__ = ["validate_model_outputs", "validate_models_outputs"]


def validate_model_outputs(
    config: OnnxConfig,
    reference_model: Any,
    onnx_model: str | Path,
    onnx_named_outputs: list[str] | None = None,
    atol: float | None = None,
    input_shapes: Mapping[str, int] | None = None,
    device: str = "cpu",
    use_subprocess: bool = False,
    model_kwargs: Mapping[str, Any] | None = None,
    *,
    allow_non_finite: bool = False,
) -> ValidationReport:
    """Runs a file in ONNX Runtime and compares its outputs.

    They are compared with the definition's, computed in double precision, and, for a live model of PyTorch, with what
    that model itself computes.

    Args:
        config: The configuration of the file.
        reference_model: The model: live, a handle, a folder, or a Hub name.
        onnx_model: The file.
        onnx_named_outputs: Its outputs; by default those of the configuration.
        atol: Largest difference relative to the largest value of the reference; by default that of the configuration.
        input_shapes: Sizes of the inputs.

    Returns:
        The report.

    Raises:
        ExportError: `validation_failed` with the report if anything differs.
    """
    without_effect(
        device=(device, "cpu", "ONNX Runtime runs on the processor"),
        use_subprocess=(use_subprocess, False, "ONNX Runtime runs in this process"),
    )
    outputs = list(onnx_named_outputs or config.outputs)
    if isinstance(atol, dict):
        atol = atol.get(config.task)
    shapes = shape_options(input_shapes)
    with tempfile.TemporaryDirectory(prefix="onnxport-") as folder:
        options: dict[str, Any] = {"shapes": shapes or None, "allow_non_finite": allow_non_finite}
        if is_live(reference_model):
            recorded = Path(folder) / "the live model"
            if record_outputs(reference_model, config, shapes, recorded):
                options["reference"] = recorded
        library = config.LIBRARY if config.MODEL_TYPE else ""
        with opened(reference_model, config._native_task(), library) as checkpoint:
            passed, details, text = native.validate(
                config._native_config(reference_model), checkpoint, Path(onnx_model), outputs, atol, options
            )
    import json

    report = ValidationReport(passed, text, json.loads(details))
    if not passed:
        raise ExportError(text.rstrip(), "validation_failed")
    return report


def validate_models_outputs(
    models_and_onnx_configs: Mapping[str, tuple[Any, OnnxConfig]],
    onnx_named_outputs: list[list[str]],
    output_dir: str | Path,
    atol: float | None = None,
    onnx_files_subpaths: list[str] | None = None,
    input_shapes: Mapping[str, int] | None = None,
    device: str = "cpu",
    use_subprocess: bool = False,
    model_kwargs: Mapping[str, Any] | None = None,
) -> list[ValidationReport]:
    """Validates the files of `export_models`.

    Raises:
        ExportError: `validation_failed` with the reports of all files that differ.
    """
    if len(onnx_named_outputs) != len(models_and_onnx_configs):
        raise ExportError(
            f"onnx_named_outputs has {len(onnx_named_outputs)} lists for {len(models_and_onnx_configs)} models",
            "invalid_argument",
        )
    reports, failures = [], []
    for index, (name, (model, config)) in enumerate(models_and_onnx_configs.items()):
        file = onnx_files_subpaths[index] if onnx_files_subpaths else f"{name}.onnx"
        try:
            reports.append(
                validate_model_outputs(
                    config,
                    model,
                    Path(output_dir) / file,
                    onnx_named_outputs[index],
                    atol,
                    input_shapes,
                    device,
                )
            )
        except ExportError as error:
            if error.code != "validation_failed":
                raise
            failures.append(f"{name}: {error}")
    if failures:
        raise ExportError("\n".join(failures), "validation_failed")
    return reports
