"""The semantic ops, with the names and meanings of PyTorch's functional API.

Each checks its operands, infers type and symbolic shape, and appends one node to their graph. `Value` has the usual
operators, too. docs/api.md and `onnxport/op.h` describe every op.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .native import native

if TYPE_CHECKING:
    from ._native.op import *  # noqa: F403

Dim = native.Dim
Graph = native.Graph
Value = native.Value
Weight = native.Weight
path = native.path

_NAMES = sorted(name for name in dir(native.op) if not name.startswith("_"))

__all__ = ["Dim", "Graph", "Value", "Weight", "path", *_NAMES]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(native.op, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})
