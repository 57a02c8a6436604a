"""Names of tensors with their dynamic axes, and parts of models."""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Axes", "ConfigBehavior", "as_pairs"]


class ConfigBehavior(str, enum.Enum):
    """The part of an encoder-decoder that a configuration describes."""

    MONOLITH = "monolith"
    ENCODER = "encoder"
    DECODER = "decoder"


class Axes(OrderedDict[str, dict[int, str]]):
    """{name: {axis: symbol}}, in order. It prints alike in every version of Python."""

    def __repr__(self) -> str:
        return f"OrderedDict({list(self.items())!r})" if self else "OrderedDict()"


def as_pairs(
    axes: Mapping[str, Mapping[int, str]] | Iterable[Any] | None,
) -> list[tuple[str, dict[int, str]]] | None:
    """For the library."""
    if axes is None:
        return None
    return [(name, dict(symbols)) for name, symbols in dict(axes).items()]
