"""`custom_onnx_configs`: configurations of scripts in the place of those of the architecture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .base import OnnxConfig

__all__ = ["custom_configs"]


def custom_configs(configs: Mapping[str, Any] | None, model: Any) -> dict[str, Any]:
    """For the library: by the stem of the file. A patched forward function needs the live model.

    Raises:
        TypeError: For an object that is no configuration of this package.
    """
    made = {}
    for stem, config in (configs or {}).items():
        if not isinstance(config, OnnxConfig):
            raise TypeError(
                f"custom_onnx_configs[{stem!r}]: expected an OnnxConfig of onnxport, got {type(config).__module__}."
                f"{type(config).__name__}"
            )
        made[stem] = config._native_config(model)
    return made
