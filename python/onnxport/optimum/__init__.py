"""Drop-in: Optimum exports with onnxport.

    >>> import onnxport.optimum
    >>> onnxport.optimum.install()  # doctest: +SKIP

From then on, `ORTModelFor….from_pretrained(…, export=True)`, sentence-transformers with `backend="onnx"` and the export
command of optimum-cli (in this process) use onnxport for what it supports, and say so. For anything else they do what
they did before.
"""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from ..errors import ExportError

__all__ = ["install", "installed", "uninstall"]

logger = logging.getLogger(__name__)

#: Codes of errors after which Optimum tries it itself. Others would be the same there.
_NOT_OURS = {"unsupported", "bad_config", "internal"}
_MODULE = "optimum.exporters.onnx"

_original: Callable[..., Any] | None = None


def _replacement(original: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def main_export(*args: Any, **kwargs: Any) -> Any:
        from ..exporters.onnx.__main__ import main_export as export

        given = dict(signature.bind(*args, **kwargs).arguments)
        given |= given.pop("kwargs_shapes", {})
        try:
            _check(given)
            report = export(**_translated(given))
        except (ExportError, TypeError) as error:
            if isinstance(error, ExportError) and error.code not in _NOT_OURS:
                raise
            logger.warning("onnxport: %s; Optimum exports this model itself", error)
            return original(*args, **kwargs)
        if not report.passed:
            raise ExportError(str(report.validation).rstrip(), "validation_failed")
        logger.warning("onnxport exported %s for %s", report.model_type, report.task)
        return None

    return main_export


def _check(given: dict[str, Any]) -> None:
    """Refuses what needs tracing."""
    for name in ("custom_onnx_configs", "fn_get_submodels"):
        if given.get(name):
            raise ExportError(f"{name} of Optimum describes a traced model", "unsupported")


def _translated(given: dict[str, Any]) -> dict[str, Any]:
    """Arguments that are not ours, or are called otherwise."""
    given = {
        name: value
        for name, value in given.items()
        if name not in ("custom_onnx_configs", "fn_get_submodels")
    }
    dtype = given.get("dtype")
    if dtype is not None and not isinstance(dtype, str):
        names = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32"}
        given["dtype"] = names[str(dtype).rpartition(".")[2]]
    if given.get("device") not in (None, "cpu"):
        given["device"] = "cpu"  # the files are the same
    for name in ("trust_remote_code", "use_subprocess"):
        given.pop(name, None)
    return given


def _replace(before: Callable[..., Any], after: Callable[..., Any]) -> None:
    for module in [import_module(f"{_MODULE}.__main__"), import_module(_MODULE)]:
        module.main_export = after  # type: ignore[attr-defined]
    for name, module in list(sys.modules.items()):
        if name.startswith("optimum.") and vars(module).get("main_export") is before:
            module.main_export = after  # type: ignore[attr-defined]


def installed() -> bool:
    """Whether Optimum exports with onnxport."""
    return _original is not None


def install() -> None:
    """Makes Optimum export with onnxport, in this process.

    Raises:
        ExportError: `unsupported` if Optimum is not installed.
    """
    global _original
    if _original is not None:
        return
    try:
        original = import_module(f"{_MODULE}.__main__").main_export
    except ImportError as error:
        raise ExportError(
            f"Optimum's exporter cannot be imported ({error}): pip install optimum-onnx", "unsupported"
        ) from error
    _replace(original, _replacement(original))
    _original = original


def uninstall() -> None:
    """Takes it back."""
    global _original
    if _original is not None:
        _replace(import_module(f"{_MODULE}.__main__").main_export, _original)
        _original = None
