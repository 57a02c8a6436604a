"""onnxport: Hugging Face checkpoints and live models to validated ONNX files, without tracing.

The names are those of Optimum's exporter. `import onnxport` is cheap: parts are loaded when they are used, and
PyTorch and transformers only if the caller's model needs them.

    >>> import onnxport
    >>> onnxport.main_export("sentence-transformers/all-MiniLM-L6-v2", "out")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .errors import ExportError
    from .exporters import TasksManager
    from .exporters.onnx import (
        export,
        export_models,
        main_export,
        onnx_export_from_model,
        validate_model_outputs,
        validate_models_outputs,
    )
    from .reports import ExportReport, ValidationReport

__all__ = [
    "ExportError",
    "ExportReport",
    "TasksManager",
    "ValidationReport",
    "__version__",
    "export",
    "export_models",
    "main_export",
    "onnx_export_from_model",
    "validate_model_outputs",
    "validate_models_outputs",
]

_PLACES = {
    "ExportError": ".errors",
    "ExportReport": ".reports",
    "ValidationReport": ".reports",
    "TasksManager": ".exporters.tasks",
}
_SUBMODULES = {"exporters", "nn", "onnxruntime", "op", "optimum", "reports", "utils"}


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f".{name}", __name__)
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_PLACES.get(name, ".exporters.onnx"), __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBMODULES})
