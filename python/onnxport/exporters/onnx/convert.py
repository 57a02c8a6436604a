"""Exporting one model or several with given configurations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...errors import ExportError
from ...native import native
from ...progress import progress_bar
from ...reports import ExportReport
from ..live import is_live
from ..sources import opened
from .__main__ import main_export
from .base import OnnxConfig
from .options import config_values, shape_options, without_effect
from .validation import validate_model_outputs, validate_models_outputs

__all__ = [
    "export",
    "export_models",
    "onnx_export_from_model",
    "validate_model_outputs",
    "validate_models_outputs",
]

Names = tuple[list[str], list[str]]


def export(
    model: Any,
    config: OnnxConfig,
    output: str | Path,
    opset: int | None = None,
    device: str = "cpu",
    input_shapes: Mapping[str, int] | None = None,
    disable_dynamic_axes_fix: bool = False,
    dtype: str | None = None,
    no_dynamic_axes: bool = False,
    do_constant_folding: bool = True,
    model_kwargs: Mapping[str, Any] | None = None,
    *,
    progress: bool | None = None,
) -> Names:
    """Exports a model to one ONNX file.

    The weights of a live model are read where they are.

    Args:
        model: A live model, a handle, a folder, or the name of a Hub repository.
        config: The configuration: names, axes, task.
        output: The file to write.
        opset: The ONNX opset; by default that of the configuration.
        input_shapes: Sizes of axes that are not dynamic.
        dtype: "fp32", "fp16" or "bf16"; by default that of the configuration.
        no_dynamic_axes: Make all axes static.

    Returns:
        The names of inputs and outputs.

    Raises:
        ExportError: With the text that the program would print. No file is left then.
    """
    if not isinstance(config, OnnxConfig):
        raise TypeError(
            f"expected an OnnxConfig of onnxport, got {type(config).__module__}.{type(config).__name__}"
        )
    without_effect(
        device=(device, "cpu", "exporting runs no model on a device"),
        do_constant_folding=(do_constant_folding, True, "only arithmetic on weights is folded"),
    )
    if dtype is not None and dtype != config.float_dtype:
        config = _in_dtype(config, dtype)
    values, _ = config_values(model_kwargs)
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    with (
        opened(
            model, config._native_task(), config.LIBRARY if config.MODEL_TYPE else "", _parsed(values)
        ) as checkpoint,
        progress_bar("writing weights", progress) as listen,
    ):
        options = {
            "opset": opset,
            "shapes": shape_options(input_shapes) or None,
            "dynamic_axes": not no_dynamic_axes,
            "on_progress": listen,
        }
        return native.export_onnx(checkpoint, config._native_config(model), Path(output), options)


def _parsed(values: Mapping[str, str]) -> dict[str, Any]:
    import json

    return {key: json.loads(value) for key, value in values.items()}


def _in_dtype(config: OnnxConfig, dtype: str) -> OnnxConfig:
    import copy

    made = copy.copy(config)
    made.float_dtype = dtype
    made._native = made._make_native()
    return made


def export_models(
    models_and_onnx_configs: Mapping[str, tuple[Any, OnnxConfig]],
    output_dir: str | Path,
    opset: int | None = None,
    output_names: list[str] | None = None,
    device: str = "cpu",
    input_shapes: Mapping[str, int] | None = None,
    disable_dynamic_axes_fix: bool = False,
    dtype: str | None = None,
    no_dynamic_axes: bool = False,
    do_constant_folding: bool = True,
    model_kwargs: Mapping[str, Any] | None = None,
) -> tuple[list[list[str]], list[list[str]]]:
    """Exports several models, each to a file of its own.

    Args:
        models_and_onnx_configs: (model, configuration) by name.
        output_dir: The folder to write to.
        output_names: Names of the files; by default the names with `.onnx`.

    Returns:
        The names of inputs and outputs of each file.
    """
    if output_names is not None and len(output_names) != len(models_and_onnx_configs):
        raise ExportError(
            f"output_names has {len(output_names)} names for {len(models_and_onnx_configs)} models",
            "invalid_argument",
        )
    inputs, outputs = [], []
    for index, (name, (model, config)) in enumerate(models_and_onnx_configs.items()):
        file = output_names[index] if output_names else f"{name}.onnx"
        taken, given = export(
            model, config, Path(output_dir) / file, opset, device, input_shapes, disable_dynamic_axes_fix, dtype,
            no_dynamic_axes, do_constant_folding, model_kwargs,
        )  # fmt: skip
        inputs.append(taken)
        outputs.append(given)
    return inputs, outputs


def onnx_export_from_model(
    model: Any,
    output: str | Path,
    opset: int | None = None,
    optimize: str | None = None,
    monolith: bool = False,
    no_post_process: bool = False,
    atol: float | None = None,
    do_validation: bool = True,
    model_kwargs: dict[str, Any] | None = None,
    custom_onnx_configs: Mapping[str, Any] | None = None,
    fn_get_submodels: Callable[..., Any] | None = None,
    _variant: str = "default",
    preprocessors: list[Any] | None = None,
    device: str = "cpu",
    no_dynamic_axes: bool = False,
    task: str | None = None,
    use_subprocess: bool = False,
    do_constant_folding: bool = True,
    slim: bool = False,
    **kwargs_shapes: Any,
) -> ExportReport:
    """Exports a live model to a folder of ONNX files, as `main_export` does for a checkpoint.

    Args:
        model: A live model of transformers, sentence-transformers or timm, or a pipeline of
            diffusers or one of its components.
        output: The folder to write to.
        preprocessors: Tokenizers and processors, which are saved beside the files.
        task: The task; by default that of the model's class.

    Returns:
        The report.
    """
    report = main_export(
        model, output, task or "auto", opset, device, None, optimize, monolith, no_post_process, "pt", atol,
        do_validation=do_validation, model_kwargs=model_kwargs, custom_onnx_configs=custom_onnx_configs,
        fn_get_submodels=fn_get_submodels, use_subprocess=use_subprocess, _variant=_variant,
        no_dynamic_axes=no_dynamic_axes, do_constant_folding=do_constant_folding, slim=slim, **kwargs_shapes,
    )  # fmt: skip
    if is_live(model):
        for part in preprocessors or ():
            part.save_pretrained(output)
    return report
