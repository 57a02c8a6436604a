"""The middle end: classes that know a modality. An architecture's own class derives from one."""

from __future__ import annotations

from typing import Any, ClassVar

from ...utils.input_generators import (
    DummyAudioInputGenerator,
    DummyPastKeyValuesGenerator,
    DummySeq2SeqDecoderTextInputGenerator,
    DummySeq2SeqPastKeyValuesGenerator,
    DummyTextInputGenerator,
    DummyVisionInputGenerator,
)
from ...utils.normalized_config import (
    NormalizedConfig,
    NormalizedSeq2SeqConfig,
    NormalizedTextAndVisionConfig,
    NormalizedTextConfig,
    NormalizedVisionConfig,
)
from .base import OnnxConfig, OnnxConfigWithPast, OnnxSeq2SeqConfigWithPast

__all__ = [
    "AudioOnnxConfig",
    "AudioToTextOnnxConfig",
    "EncoderDecoderBaseOnnxConfig",
    "TextAndVisionOnnxConfig",
    "TextDecoderOnnxConfig",
    "TextDecoderWithPositionIdsOnnxConfig",
    "TextEncoderOnnxConfig",
    "TextSeq2SeqOnnxConfig",
    "VisionOnnxConfig",
]


class TextEncoderOnnxConfig(OnnxConfig):
    """Encoder-based text architectures: input_ids and attention_mask [batch_size, sequence_length]."""

    NORMALIZED_CONFIG_CLASS: ClassVar[Any] = NormalizedTextConfig
    DUMMY_INPUT_GENERATOR_CLASSES = (DummyTextInputGenerator,)
    MIDDLE_END = "TextEncoderOnnxConfig"


class TextDecoderOnnxConfig(OnnxConfigWithPast):
    """Decoder-based text architectures: input_ids, attention_mask, and the cache if the file takes one."""

    NORMALIZED_CONFIG_CLASS: ClassVar[Any] = NormalizedTextConfig
    DUMMY_INPUT_GENERATOR_CLASSES = (DummyTextInputGenerator, DummyPastKeyValuesGenerator)
    DUMMY_PKV_GENERATOR_CLASS = DummyPastKeyValuesGenerator
    MIDDLE_END = "TextDecoderOnnxConfig"


class TextDecoderWithPositionIdsOnnxConfig(TextDecoderOnnxConfig):
    """The same, followed by position_ids."""

    MIDDLE_END = "TextDecoderWithPositionIdsOnnxConfig"


class TextSeq2SeqOnnxConfig(OnnxSeq2SeqConfigWithPast):
    """Encoder-decoder-based text architectures."""

    NORMALIZED_CONFIG_CLASS: ClassVar[Any] = NormalizedSeq2SeqConfig
    DUMMY_INPUT_GENERATOR_CLASSES = (
        DummyTextInputGenerator,
        DummySeq2SeqDecoderTextInputGenerator,
        DummySeq2SeqPastKeyValuesGenerator,
    )
    MIDDLE_END = "TextSeq2SeqOnnxConfig"


class VisionOnnxConfig(OnnxConfig):
    """Vision architectures: pixel_values [batch_size, num_channels, height, width]."""

    NORMALIZED_CONFIG_CLASS: ClassVar[Any] = NormalizedVisionConfig
    DUMMY_INPUT_GENERATOR_CLASSES = (DummyVisionInputGenerator,)
    MIDDLE_END = "VisionOnnxConfig"


class TextAndVisionOnnxConfig(OnnxConfig):
    """Text and images side by side, each with its own batch."""

    NORMALIZED_CONFIG_CLASS: ClassVar[Any] = NormalizedTextAndVisionConfig
    DUMMY_INPUT_GENERATOR_CLASSES = (DummyTextInputGenerator, DummyVisionInputGenerator)
    MIDDLE_END = "TextAndVisionOnnxConfig"


class AudioOnnxConfig(OnnxConfig):
    """Audio architectures: input_values [batch_size, sequence_length]."""

    NORMALIZED_CONFIG_CLASS: ClassVar[Any] = NormalizedConfig
    DUMMY_INPUT_GENERATOR_CLASSES = (DummyAudioInputGenerator,)
    MIDDLE_END = "AudioOnnxConfig"


class AudioToTextOnnxConfig(OnnxSeq2SeqConfigWithPast):
    """Audio features to text."""

    NORMALIZED_CONFIG_CLASS: ClassVar[Any] = NormalizedSeq2SeqConfig
    DUMMY_INPUT_GENERATOR_CLASSES = (
        DummyAudioInputGenerator,
        DummySeq2SeqDecoderTextInputGenerator,
        DummySeq2SeqPastKeyValuesGenerator,
    )


class EncoderDecoderBaseOnnxConfig(OnnxSeq2SeqConfigWithPast):
    """An encoder and a decoder of two other architectures."""

    NORMALIZED_CONFIG_CLASS: ClassVar[Any] = NormalizedConfig
    DUMMY_INPUT_GENERATOR_CLASSES = (DummyTextInputGenerator,)
