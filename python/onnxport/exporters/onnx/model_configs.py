"""The classes of the architectures: `BertOnnxConfig`, `LlamaOnnxConfig`, ….

There is one for each architecture of the registry. They are made when they are asked for.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from ...native import native
from . import base, config
from .class_names import class_name

_LIBRARIES = ("transformers", "sentence_transformers", "timm")


def _base_class(name: str) -> type[base.OnnxConfig]:
    return getattr(config, name, None) or getattr(base, name)


def config_class(model_type: str, library: str = "transformers") -> type[base.OnnxConfig]:
    """The class of an architecture.

    Raises:
        ExportError: `unsupported` if it is not registered; the message names similar ones.
    """
    return _make_class(model_type, library)


@cache
def _make_class(model_type: str, library: str) -> type[base.OnnxConfig]:
    native.tasks_of(model_type, library)
    parent = _base_class(native.base_class_of_type(model_type, library))
    attributes: dict[str, Any] = {
        "__module__": __name__,
        "__doc__": f"The configuration of {model_type} ({library}).",
        "MODEL_TYPE": model_type,
        "LIBRARY": library,
    }
    return type(class_name(model_type, library), (parent,), attributes)


@cache
def _types_by_name() -> dict[str, tuple[str, str]]:
    return {
        class_name(model_type, library): (model_type, library)
        for library, model_type, _ in native.definitions()
    }


def forget_names() -> None:
    """After a registration."""
    _types_by_name.cache_clear()


def __getattr__(name: str) -> Any:
    if name == "register_tasks_manager_onnx":  # as scripts import it
        from ..tasks import TasksManager

        return TasksManager.create_register("onnx")
    found = _types_by_name().get(name)
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return config_class(*found)


def __dir__() -> list[str]:
    return sorted({*globals(), *_types_by_name()})
