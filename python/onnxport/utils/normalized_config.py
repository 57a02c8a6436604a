"""Common quantities of configurations under common names."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

__all__ = [
    "NormalizedConfig",
    "NormalizedConfigManager",
    "NormalizedEncoderDecoderConfig",
    "NormalizedSegformerConfig",
    "NormalizedSeq2SeqConfig",
    "NormalizedTextAndVisionConfig",
    "NormalizedTextConfig",
    "NormalizedTextConfigWithGQA",
    "NormalizedTimeSeriesForecastingConfig",
    "NormalizedVisionConfig",
]


def _get(config: Any, name: str) -> Any:
    return config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)


class NormalizedConfig:
    """Attributes of a configuration by common names: `normalized.num_layers` reads `num_hidden_layers`, or whatever
    the class says. A name may lead into a nested configuration: "text_config.hidden_size".

    Args:
        config: A `PretrainedConfig`, or the content of config.json.
        allow_new: Whether quantities may be named that the class does not have.
        **kwargs: Other keys for quantities: `num_layers="n_layer"`.
    """

    def __init__(self, config: Any, allow_new: bool = False, **kwargs: str) -> None:
        self.config = config
        for quantity, key in kwargs.items():
            if not allow_new and not hasattr(type(self), quantity.upper()):
                raise AttributeError(
                    f"{type(self).__name__} has no quantity {quantity!r}; set allow_new=True to add it"
                )
            setattr(self, quantity.upper(), key)

    @classmethod
    def with_args(cls, allow_new: bool = False, **kwargs: str) -> Callable[[Any], NormalizedConfig]:
        """The class with other keys."""
        return functools.partial(cls, allow_new=allow_new, **kwargs)

    def _key(self, quantity: str) -> str:
        try:
            return object.__getattribute__(self, quantity.upper())
        except AttributeError:
            return quantity

    def __getattr__(self, quantity: str) -> Any:
        if quantity == "config" or quantity.startswith("__"):
            raise AttributeError(quantity)
        *path, leaf = self._key(quantity).split(".")
        config = self.config
        for name in path:
            config = _get(config, name)
        value = _get(config, leaf)
        if value is None:
            mapped = (getattr(config, "attribute_map", None) or {}).get(leaf)
            value = _get(config, mapped) if mapped else None
        if value is None:
            raise AttributeError(f"the configuration has no '{leaf}'")
        return value

    def has_attribute(self, quantity: str) -> bool:
        """Whether the configuration has this quantity."""
        return hasattr(self, quantity)


class NormalizedTimeSeriesForecastingConfig(NormalizedConfig):
    """Time series."""

    NUM_INPUT_CHANNELS = "num_input_channels"
    CONTEXT_LENGTH = "context_length"


class NormalizedTextConfig(NormalizedConfig):
    """Text models."""

    VOCAB_SIZE = "vocab_size"
    HIDDEN_SIZE = "hidden_size"
    NUM_LAYERS = "num_hidden_layers"
    NUM_ATTENTION_HEADS = "num_attention_heads"
    EOS_TOKEN_ID = "eos_token_id"


class NormalizedTextConfigWithGQA(NormalizedTextConfig):
    """Decoders whose heads share keys."""

    NUM_KEY_VALUE_HEADS = "num_key_value_heads"


class NormalizedSeq2SeqConfig(NormalizedTextConfig):
    """An encoder with a decoder."""

    ENCODER_NUM_LAYERS = NormalizedTextConfig.NUM_LAYERS
    DECODER_NUM_LAYERS = NormalizedTextConfig.NUM_LAYERS
    ENCODER_NUM_ATTENTION_HEADS = NormalizedTextConfig.NUM_ATTENTION_HEADS
    DECODER_NUM_ATTENTION_HEADS = NormalizedTextConfig.NUM_ATTENTION_HEADS


class NormalizedVisionConfig(NormalizedConfig):
    """Images."""

    IMAGE_SIZE = "image_size"
    NUM_CHANNELS = "num_channels"
    INPUT_SIZE = "input_size"


class NormalizedSegformerConfig(NormalizedVisionConfig):
    """Models whose stages have sizes of their own; a list counts as 0."""

    NUM_ATTENTION_HEADS = "num_attention_heads"
    HIDDEN_SIZE = "hidden_sizes"

    def __getattr__(self, quantity: str) -> Any:
        value = super().__getattr__(quantity)
        return 0 if isinstance(value, list) else value


class NormalizedTextAndVisionConfig(NormalizedTextConfig, NormalizedVisionConfig):
    """Text and images, each with a nested configuration."""

    TEXT_CONFIG: str | None = None
    VISION_CONFIG: str | None = None

    def _key(self, quantity: str) -> str:
        key = super()._key(quantity)
        name = quantity.upper()
        if self.TEXT_CONFIG and hasattr(NormalizedTextConfig, name):
            return f"{self.TEXT_CONFIG}.{key}"
        if self.VISION_CONFIG and hasattr(NormalizedVisionConfig, name):
            return f"{self.VISION_CONFIG}.{key}"
        return key


class NormalizedEncoderDecoderConfig(NormalizedConfig):
    """Two models, each with its own normalized configuration."""

    ENCODER_NORMALIZED_CONFIG_CLASS: Any = None
    DECODER_NORMALIZED_CONFIG_CLASS: Any = None

    def __getattr__(self, quantity: str) -> Any:
        for part in ("ENCODER_NORMALIZED_CONFIG_CLASS", "DECODER_NORMALIZED_CONFIG_CLASS"):
            normalized = object.__getattribute__(self, part)
            if normalized is not None and hasattr(type(normalized), quantity.upper()):
                return getattr(normalized, quantity)
        return super().__getattr__(quantity)


class NormalizedConfigManager:
    """Normalized configurations by model type."""

    @staticmethod
    def get_normalized_config_class(model_type: str) -> Any:
        """The class for a model type.

        Raises:
            ExportError: `unsupported` for a type that is not registered.
        """
        from ..exporters.onnx.model_configs import config_class

        return config_class(model_type).NORMALIZED_CONFIG_CLASS
