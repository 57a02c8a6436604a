"""Architectures that scripts register."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ExportError
from ..native import native

__all__ = ["register"]


def _is_registered(model_type: str, library: str) -> bool:
    return any(one[:2] == (library, model_type) for one in native.definitions())


def register(
    model_type: str,
    config_class: type,
    tasks: Sequence[str],
    forward: Callable[..., Any] | None,
    library: str,
    overwrite_existing: bool,
    class_defaults: dict[str, Any] | None,
) -> None:
    """Registers an architecture with the library, unless the class only describes one that is there."""
    forward = forward or getattr(config_class, "forward", None)
    known = _is_registered(model_type, library)
    if forward is None:
        parent = getattr(config_class, "MODEL_TYPE", None)
        if not known and parent is None:
            raise ExportError(
                f"'{model_type}' needs a definition: give {config_class.__name__} a function 'forward' that builds the graph "
                "with onnxport.nn and onnxport.op, or derive it from the class of an architecture that computes the same; "
                "docs/python.md explains both",
                "unsupported",
            )
        if not known:
            native.register_alias(model_type, parent)
        return
    raise ExportError("architectures in Python are not built yet", "unsupported")
