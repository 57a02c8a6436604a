"""Architectures that scripts register."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ExportError
from ..native import native

__all__ = ["register"]


def _is_registered(model_type: str, library: str) -> bool:
    return any(one[:2] == (library, model_type) for one in native.definitions())


def _constructor(config_class: type) -> Callable[[str, str, str, str], Any]:
    """How the library makes a configuration of the class."""

    def make(text: str, task: str, int_dtype: str, float_dtype: str) -> Any:
        made = config_class(json.loads(text), task=task, int_dtype=int_dtype, float_dtype=float_dtype)
        return made._native_config()

    return make


def register(
    model_type: str,
    config_class: type,
    tasks: Sequence[str],
    forward: Callable[..., Any] | None,
    library: str,
    overwrite_existing: bool,
    class_defaults: dict[str, Any] | None,
) -> None:
    """Registers an architecture with the library, unless the class only describes one that is there.

    A class may say more: `TIED` = (table of tokens, output layer), `IGNORABLE_KEYS`, and `forward` as a static
    function.
    """
    from .onnx.model_configs import forget_names

    forward = forward or getattr(config_class, "forward", None)
    known = _is_registered(model_type, library)
    parent = getattr(config_class, "MODEL_TYPE", None)
    if forward is None:
        if not known and parent is None:
            raise ExportError(
                f"'{model_type}' needs a definition: give {config_class.__name__} a function 'forward' that builds the "
                "graph with onnxport.nn and onnxport.op, or derive it from the class of an architecture that computes "
                "the same; docs/python.md explains both",
                "unsupported",
            )
        if not known and parent is not None:
            native.register_alias(model_type, parent, json.dumps(class_defaults) if class_defaults else None)
    elif known and not overwrite_existing:
        raise ExportError(
            f"model type '{model_type}' is registered already; set overwrite_existing=True to replace it",
            "invalid_argument",
        )
    else:
        native.register_definition(
            model_type,
            library,
            list(tasks),
            _constructor(config_class),
            forward,
            list(getattr(config_class, "IGNORABLE_KEYS", ())),
            getattr(config_class, "TIED", None),
            json.dumps(class_defaults) if class_defaults else None,
        )
    forget_names()
