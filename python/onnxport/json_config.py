"""Configurations of any kind as the text of config.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

__all__ = ["CheckpointConfig", "config_text", "model_type_of"]


class CheckpointConfig(SimpleNamespace):
    """config.json of a checkpoint, with its keys as attributes, for scripts without transformers."""

    @classmethod
    def from_text(cls, text: str) -> CheckpointConfig:
        """The configuration in the text of a config.json."""
        return cls(**json.loads(text))

    def to_dict(self) -> dict[str, Any]:
        """The keys and values."""
        return dict(vars(self))


def _as_dict(config: Any) -> dict[str, Any]:
    if isinstance(config, Mapping):
        return dict(config)
    # What save_pretrained would write: only what differs from the defaults, which the library knows.
    if hasattr(config, "to_json_string"):
        try:
            return json.loads(config.to_json_string(use_diff=True))
        except TypeError:
            return json.loads(config.to_json_string())
    if hasattr(config, "to_dict"):
        return config.to_dict()
    raise TypeError(f"expected a configuration (PretrainedConfig or dict), got {type(config).__name__}")


def config_text(config: Any, architecture: str | None = None) -> str:
    """The text of config.json for a `PretrainedConfig` of transformers, or for a dict.

    Args:
        config: The configuration.
        architecture: The class of the model, which save_pretrained would add.
    """
    values = _as_dict(config)
    if model_type := getattr(config, "model_type", None):
        values.setdefault("model_type", model_type)
    if architecture:
        values["architectures"] = [architecture]
    # Eager attention computes something else for a query that sees no key, so the file says so.
    if getattr(config, "_attn_implementation", None) == "eager":
        values["_attn_implementation"] = "eager"
    return json.dumps(values, default=str)


def model_type_of(config: Any) -> str:
    """The model type of a configuration."""
    if isinstance(config, Mapping):
        return str(config.get("model_type", ""))
    return str(getattr(config, "model_type", "") or "")
