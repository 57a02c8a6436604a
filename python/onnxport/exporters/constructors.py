"""Constructors of configurations: a class and a task."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..errors import ExportError

__all__ = ["Constructor", "make_backend_config_constructor_for_task"]

Constructor = Callable[..., Any]

_WITH_PAST = "-with-past"


def make_backend_config_constructor_for_task(config_class: type, task: str) -> Constructor:
    """The class with its task: `constructor(config)` makes the configuration."""
    from .onnx.base import OnnxConfigWithPast

    if not task.endswith(_WITH_PAST):
        return functools.partial(config_class, task=task)
    if not issubclass(config_class, OnnxConfigWithPast):
        raise ExportError(f"{config_class.__name__} has no cache, so it has no task '{task}'", "unsupported")
    base = task.removesuffix(_WITH_PAST)
    return functools.partial(
        config_class, task=base, use_past=True, use_past_in_inputs=base != "feature-extraction"
    )
