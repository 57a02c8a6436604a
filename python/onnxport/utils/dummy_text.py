"""Generators of dummy inputs for text, and of caches."""

from __future__ import annotations

from typing import Any

from .dummy_base import DummyInputGenerator

__all__ = [
    "DummyDecoderTextInputGenerator",
    "DummyPastKeyValuesGenerator",
    "DummySeq2SeqDecoderTextInputGenerator",
    "DummySeq2SeqPastKeyValuesGenerator",
    "DummyTextInputGenerator",
    "GemmaDummyPastKeyValuesGenerator",
    "MistralDummyPastKeyValuesGenerator",
]


class DummyTextInputGenerator(DummyInputGenerator):
    """input_ids, attention_mask, token_type_ids, position_ids."""

    SUPPORTED_INPUT_NAMES = (
        "input_ids", "attention_mask", "encoder_attention_mask", "global_attention_mask", "token_type_ids", "position_ids",
    )  # fmt: skip

    def __init__(self, task: str, normalized_config: Any, padding_side: str = "right", **shapes: Any) -> None:
        super().__init__(task, normalized_config, **shapes)
        self.padding_side = padding_side
        self.vocab_size = normalized_config.vocab_size

    def generate(
        self, input_name: str, framework: str = "pt", int_dtype: str = "int64", float_dtype: str = "fp32"
    ) -> Any:
        shape = [self.batch_size, self.sequence_length]
        if self.task == "multiple-choice":
            shape.insert(1, self.num_choices)
        if input_name.endswith("attention_mask"):
            return self.random_mask_tensor(shape, self.padding_side, framework, int_dtype)
        limit = {"position_ids": self.sequence_length, "token_type_ids": 2}.get(input_name, self.vocab_size)
        return self.random_int_tensor(shape, limit, framework=framework, dtype=int_dtype)


class DummyDecoderTextInputGenerator(DummyTextInputGenerator):
    """decoder_input_ids, decoder_attention_mask."""

    SUPPORTED_INPUT_NAMES = ("decoder_input_ids", "decoder_attention_mask")


class DummySeq2SeqDecoderTextInputGenerator(DummyDecoderTextInputGenerator):
    """The same, and the states of the encoder."""

    SUPPORTED_INPUT_NAMES = (
        "decoder_input_ids", "decoder_attention_mask", "encoder_outputs", "encoder_hidden_states",
    )  # fmt: skip

    def generate(
        self, input_name: str, framework: str = "pt", int_dtype: str = "int64", float_dtype: str = "fp32"
    ) -> Any:
        if input_name in ("encoder_outputs", "encoder_hidden_states"):
            shape = (self.batch_size, self.sequence_length, self.normalized_config.hidden_size)
            states = self.random_float_tensor(shape, framework=framework, dtype=float_dtype)
            return (states, None, None) if input_name == "encoder_outputs" else states
        return super().generate(input_name, framework, int_dtype, float_dtype)


class DummyPastKeyValuesGenerator(DummyInputGenerator):
    """past_key_values: (key, value) of each layer, [batch_size, heads, length, head_dim]."""

    SUPPORTED_INPUT_NAMES = ("past_key_values",)

    def _heads(self) -> int:
        return self.normalized_config.num_attention_heads

    def _head_dim(self) -> int:
        return self.normalized_config.hidden_size // self.normalized_config.num_attention_heads

    def generate(
        self, input_name: str, framework: str = "pt", int_dtype: str = "int64", float_dtype: str = "fp32"
    ) -> Any:
        shape = (self.batch_size, self._heads(), self.sequence_length, self._head_dim())
        return [
            tuple(self.random_float_tensor(shape, framework=framework, dtype=float_dtype) for _ in range(2))
            for _ in range(self.normalized_config.num_layers)
        ]


class MistralDummyPastKeyValuesGenerator(DummyPastKeyValuesGenerator):
    """The same of decoders whose heads share keys."""

    def _heads(self) -> int:
        return self.normalized_config.num_key_value_heads


class GemmaDummyPastKeyValuesGenerator(MistralDummyPastKeyValuesGenerator):
    """The same with a size of heads of its own."""

    def _head_dim(self) -> int:
        return self.normalized_config.head_dim


class DummySeq2SeqPastKeyValuesGenerator(DummyInputGenerator):
    """past_key_values of an encoder-decoder: keys and values of the decoder and of the encoder."""

    SUPPORTED_INPUT_NAMES = ("past_key_values",)

    def generate(
        self, input_name: str, framework: str = "pt", int_dtype: str = "int64", float_dtype: str = "fp32"
    ) -> Any:
        config = self.normalized_config
        heads = config.decoder_num_attention_heads
        shape = (self.batch_size, heads, self.sequence_length, config.hidden_size // heads)
        return [
            tuple(self.random_float_tensor(shape, framework=framework, dtype=float_dtype) for _ in range(4))
            for _ in range(config.decoder_num_layers)
        ]
