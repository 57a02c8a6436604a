"""The ONNX exporter, with the names of `optimum.exporters.onnx`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .__main__ import main_export
    from .base import ConfigBehavior, OnnxConfig, OnnxConfigWithPast, OnnxSeq2SeqConfigWithPast
    from .config import (
        AudioOnnxConfig,
        AudioToTextOnnxConfig,
        EncoderDecoderBaseOnnxConfig,
        TextAndVisionOnnxConfig,
        TextDecoderOnnxConfig,
        TextDecoderWithPositionIdsOnnxConfig,
        TextEncoderOnnxConfig,
        TextSeq2SeqOnnxConfig,
        VisionOnnxConfig,
    )
    from .convert import export, export_models, onnx_export_from_model
    from .validation import validate_model_outputs, validate_models_outputs

_PLACES = {
    "main_export": ".__main__",
    "ConfigBehavior": ".base",
    "OnnxConfig": ".base",
    "OnnxConfigWithPast": ".base",
    "OnnxSeq2SeqConfigWithPast": ".base",
    "AudioOnnxConfig": ".config",
    "AudioToTextOnnxConfig": ".config",
    "EncoderDecoderBaseOnnxConfig": ".config",
    "TextAndVisionOnnxConfig": ".config",
    "TextDecoderOnnxConfig": ".config",
    "TextDecoderWithPositionIdsOnnxConfig": ".config",
    "TextEncoderOnnxConfig": ".config",
    "TextSeq2SeqOnnxConfig": ".config",
    "VisionOnnxConfig": ".config",
    "export": ".convert",
    "export_models": ".convert",
    "onnx_export_from_model": ".convert",
    "validate_model_outputs": ".validation",
    "validate_models_outputs": ".validation",
}

__all__ = [
    "AudioOnnxConfig",
    "AudioToTextOnnxConfig",
    "ConfigBehavior",
    "EncoderDecoderBaseOnnxConfig",
    "OnnxConfig",
    "OnnxConfigWithPast",
    "OnnxSeq2SeqConfigWithPast",
    "TextAndVisionOnnxConfig",
    "TextDecoderOnnxConfig",
    "TextDecoderWithPositionIdsOnnxConfig",
    "TextEncoderOnnxConfig",
    "TextSeq2SeqOnnxConfig",
    "VisionOnnxConfig",
    "export",
    "export_models",
    "main_export",
    "onnx_export_from_model",
    "validate_model_outputs",
    "validate_models_outputs",
]


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        if name.endswith("OnnxConfig"):
            return getattr(import_module(".model_configs", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(place, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
