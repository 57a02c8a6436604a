"""Modules for architectures in Python: plain callables that take their weights from a scope.

A module of a script is any class: it asks a `Scope` for weights, or makes other modules from it, in its constructor,
and appends nodes when it is called. See docs/python.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .native import native

if TYPE_CHECKING:
    from ._native.nn import *  # noqa: F403

Component = native.Component
Inputs = native.Inputs
Model = native.Model
PretrainedConfig = native.PretrainedConfig
Scope = native.Scope
Value = native.Value

_NAMES = sorted(name for name in dir(native.nn) if not name.startswith("_"))

__all__ = ["Component", "Inputs", "Model", "PretrainedConfig", "Scope", "Value", *_NAMES]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(native.nn, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})
