"""Generators of dummy inputs in Python, for scripts. The library has its own for the inputs that it knows."""

from .dummy_base import DEFAULT_DUMMY_SHAPES, DummyInputGenerator
from .dummy_media import (
    DummyAudioInputGenerator,
    DummyBboxInputGenerator,
    DummyLabelsGenerator,
    DummyPointsGenerator,
    DummyTimestepInputGenerator,
    DummyVisionInputGenerator,
)
from .dummy_text import (
    DummyDecoderTextInputGenerator,
    DummyPastKeyValuesGenerator,
    DummySeq2SeqDecoderTextInputGenerator,
    DummySeq2SeqPastKeyValuesGenerator,
    DummyTextInputGenerator,
    GemmaDummyPastKeyValuesGenerator,
    MistralDummyPastKeyValuesGenerator,
)

__all__ = [
    "DEFAULT_DUMMY_SHAPES",
    "DummyAudioInputGenerator",
    "DummyBboxInputGenerator",
    "DummyDecoderTextInputGenerator",
    "DummyInputGenerator",
    "DummyLabelsGenerator",
    "DummyPastKeyValuesGenerator",
    "DummyPointsGenerator",
    "DummySeq2SeqDecoderTextInputGenerator",
    "DummySeq2SeqPastKeyValuesGenerator",
    "DummyTextInputGenerator",
    "DummyTimestepInputGenerator",
    "DummyVisionInputGenerator",
    "GemmaDummyPastKeyValuesGenerator",
    "MistralDummyPastKeyValuesGenerator",
]
