"""`fn_get_submodels`: parts of a live model, each with a configuration and a file of its own."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...errors import ExportError
from ...json_config import config_text, model_type_of
from ...reports import ExportReport, ValidationReport
from ..live import is_live
from ..live_adapters import base_model
from ..sources import HubOptions, find_source
from .base import OnnxConfig
from .convert import export
from .custom import checked_config
from .validation import validate_model_outputs

__all__ = ["export_submodels"]

#: Files for clients that are copied if the model comes from a folder.
_COMPANIONS = (
    "*token*.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "*processor*.json",
    "chat_template*",
    "added_*.json",
)


def _live_model(model: Any, task: str, hub: HubOptions) -> tuple[Any, Path | None]:
    """The model in memory, and the folder that it was loaded from."""
    from ..tasks import TasksManager
    from ..transformers_models import load_model, transformers_available

    if is_live(model):
        return model, None
    if not isinstance(model, (str, Path)) or not transformers_available():
        raise ExportError(
            "fn_get_submodels takes a live model apart: give one, or install PyTorch and transformers, which load it",
            "unsupported",
        )
    folder, adapters, _ = find_source(model, hub)
    if adapters:
        raise ExportError(
            f"fn_get_submodels: '{model}' has adapters; load it with peft and give the live model",
            "unsupported",
        )
    task = (
        TasksManager.infer_task_from_model(folder) if task == "auto" else TasksManager.map_from_synonym(task)
    )
    return load_model(task, folder), folder


def _whole(part: Any, model: Any, config: OnnxConfig) -> Any:
    """The model to export for a part: the whole one, if the configuration describes a part of it."""
    if part is model or not is_live(part):
        return part
    if not any(part is module for module in model.modules()):
        return part
    is_part = (
        model_type_of(model.config) == config.MODEL_TYPE
        and getattr(config, "behavior", "monolith") != "monolith"
    )
    return model if is_part else part


def _pairs(
    model: Any, get_submodels: Callable[[Any], Mapping[str, Any]], configs: Mapping[str, Any]
) -> dict[str, tuple[Any, OnnxConfig]]:
    submodels = get_submodels(model)
    if not isinstance(submodels, Mapping):
        raise TypeError(f"fn_get_submodels: expected a dict of models, got {type(submodels).__name__}")
    if missing := [name for name in configs if name not in submodels]:
        raise ExportError(
            f"fn_get_submodels gives no model for {', '.join(missing)} of custom_onnx_configs; it gives "
            f"{', '.join(submodels)}",
            "invalid_argument",
        )
    pairs = {}
    for name, config in configs.items():
        part = _whole(submodels[name], base_model(model), checked_config(name, config))
        if not is_live(part) or not hasattr(part, "config"):
            raise ExportError(
                f"fn_get_submodels: '{name}' is a {type(part).__name__}, expected a model with state_dict() and config",
                "unsupported",
            )
        pairs[name] = (part, config)
    return pairs


def _write_companions(model: Any, source: Path | None, output: Path) -> None:
    model = base_model(model)
    (output / "config.json").write_text(config_text(model.config, type(model).__name__), encoding="utf-8")
    generation = getattr(model, "generation_config", None)
    if generation is not None and hasattr(generation, "to_json_string"):
        (output / "generation_config.json").write_text(generation.to_json_string(), encoding="utf-8")
    if source is None:
        return
    for pattern in _COMPANIONS:
        for path in sorted(source.glob(pattern)):
            shutil.copyfile(path, output / path.name)


def export_submodels(
    model: Any,
    output: Path,
    get_submodels: Callable[[Any], Mapping[str, Any]],
    configs: Mapping[str, Any],
    *,
    task: str,
    opset: int | None,
    atol: float | None,
    validate: bool,
    hub: HubOptions,
    **options: Any,
) -> ExportReport:
    """Exports each part of a model for which there is a configuration, to a file of that name.

    A part may be the whole model under another name, a part that is a model of its own, or one that its configuration
    describes (`with_behavior`).
    """
    model, source = _live_model(model, task, hub)
    start = time.monotonic()
    pairs = _pairs(model, get_submodels, configs)
    names = {}
    for name, (part, config) in pairs.items():
        names[name] = export(part, config, output / f"{name}.onnx", opset, **options)
    _write_companions(model, source, output)
    seconds = time.monotonic() - start
    reports = []
    for name, (part, config) in pairs.items() if validate else ():
        try:
            reports.append(
                validate_model_outputs(
                    config, part, output / f"{name}.onnx", names[name][1], atol, options["input_shapes"]
                )
            )
        except ExportError as error:
            if error.code != "validation_failed":
                raise
            reports.append(ValidationReport(False, f"{error}\n"))
    passed = all(report.passed for report in reports)
    files = {
        path: path.stat().st_size
        for path in sorted(output.iterdir())
        if path.stem in pairs or path.suffix == ".json"
    }
    first = next(iter(pairs.values()))[1]
    details = {
        "files": [{"path": str(path), "bytes": size} for path, size in files.items()],
        "components": {name: {"inputs": taken, "outputs": given} for name, (taken, given) in names.items()},
        "validation": [one for report in reports for one in report.details or ()],
    }
    return ExportReport(
        passed=passed,
        model_type=model_type_of(model.config),
        task=first.task,
        opset=opset or first.DEFAULT_ONNX_OPSET,
        files=files,
        seconds=seconds,
        validation=ValidationReport(
            passed, "".join(report.text for report in reports), details["validation"]
        ),
        details=details,
    )
