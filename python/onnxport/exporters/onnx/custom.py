"""`custom_onnx_configs`: configurations of scripts in the place of those of the architecture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .base import OnnxConfig

__all__ = ["checked_config", "custom_configs"]


def checked_config(stem: str, config: Any) -> OnnxConfig:
    """The configuration of a file.

    Raises:
        TypeError: For an object that is no configuration of this package.
    """
    if not isinstance(config, OnnxConfig):
        raise TypeError(
            f"custom_onnx_configs[{stem!r}]: expected an OnnxConfig of onnxport, got {type(config).__module__}."
            f"{type(config).__name__}"
        )
    return config


def custom_configs(configs: Mapping[str, Any] | None, model: Any) -> dict[str, Any]:
    """For the library: by the stem of the file. A patched forward function needs the live model.

    Raises:
        TypeError: For an object that is no configuration of this package.
    """
    return {
        stem: checked_config(stem, config)._native_config(model) for stem, config in (configs or {}).items()
    }
