"""Generators of dummy inputs in Python, for scripts. The library has its own for the inputs that it knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

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

DEFAULT_DUMMY_SHAPES: dict[str, int] = {
    "batch_size": 2,
    "sequence_length": 16,
    "num_choices": 4,
    "width": 64,
    "height": 64,
    "num_channels": 3,
    "point_batch_size": 3,
    "nb_points_per_image": 2,
    "visual_seq_length": 16,
    "feature_size": 80,
    "nb_max_frames": 3000,
    "audio_sequence_length": 16000,
}

Shape = Sequence[int]

_NUMPY_NAMES = {"fp32": "float32", "fp16": "float16", "bf16": "float32", "bool": "bool"}


def _finish(array: Any, framework: str, dtype: str) -> Any:
    if framework == "np":
        return array.astype(_NUMPY_NAMES.get(dtype, dtype))
    import torch

    names = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
    return torch.from_numpy(array).to(getattr(torch, names.get(dtype, dtype)))


def _random() -> Any:
    import numpy

    return numpy.random.default_rng(0)


class DummyInputGenerator:
    """Makes dummy tensors for the inputs whose names begin like SUPPORTED_INPUT_NAMES.

    Args:
        task: The task.
        normalized_config: Quantities of the model.
        **shapes: Sizes, with the defaults of DEFAULT_DUMMY_SHAPES; they become attributes.
    """

    SUPPORTED_INPUT_NAMES: ClassVar[tuple[str, ...]] = ()

    batch_size: int
    sequence_length: int
    num_choices: int
    width: int
    height: int
    num_channels: int
    point_batch_size: int
    nb_points_per_image: int
    visual_seq_length: int
    feature_size: int
    nb_max_frames: int
    audio_sequence_length: int

    def __init__(self, task: str, normalized_config: Any, **shapes: Any) -> None:
        self.task = task
        self.normalized_config = normalized_config
        for name, value in {**DEFAULT_DUMMY_SHAPES, **shapes}.items():
            setattr(self, name, value)

    def supports_input(self, input_name: str) -> bool:
        """Whether it makes this input."""
        return any(input_name.startswith(name) for name in self.SUPPORTED_INPUT_NAMES)

    def generate(
        self, input_name: str, framework: str = "pt", int_dtype: str = "int64", float_dtype: str = "fp32"
    ) -> Any:
        """A tensor for an input, of PyTorch ("pt") or NumPy ("np")."""
        raise NotImplementedError

    @staticmethod
    def random_int_tensor(
        shape: Shape, max_value: int, min_value: int = 0, framework: str = "pt", dtype: str = "int64"
    ) -> Any:
        """Integers in [min_value, max_value)."""
        return _finish(_random().integers(min_value, max_value, tuple(shape)), framework, dtype)

    @staticmethod
    def random_float_tensor(
        shape: Shape, min_value: float = 0, max_value: float = 1, framework: str = "pt", dtype: str = "fp32"
    ) -> Any:
        """Floats in [min_value, max_value)."""
        return _finish(_random().uniform(min_value, max_value, tuple(shape)), framework, dtype)

    @staticmethod
    def constant_tensor(shape: Shape, value: float = 1, dtype: Any = "int64", framework: str = "pt") -> Any:
        """The same value everywhere."""
        import numpy

        return _finish(
            numpy.full(tuple(shape), value),
            framework,
            dtype if isinstance(dtype, str) else str(dtype).rpartition(".")[2],
        )

    @staticmethod
    def random_mask_tensor(
        shape: Shape, padding_side: str = "right", framework: str = "pt", dtype: str = "int64"
    ) -> Any:
        """A mask [..., length] with some padding on one side."""
        import numpy

        *batch, length = shape
        real = _random().integers(1, length + 1, tuple(batch))[..., None]
        positions = numpy.arange(length)
        mask = positions < real if padding_side == "right" else positions >= length - real
        return _finish(mask.astype("int64"), framework, dtype)

    @staticmethod
    def concat_inputs(inputs: Sequence[Any], dim: int) -> Any:
        """Joins tensors along an axis."""
        if hasattr(inputs[0], "detach"):
            import torch

            return torch.cat(list(inputs), dim=dim)
        import numpy

        return numpy.concatenate(list(inputs), axis=dim)


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


class DummyBboxInputGenerator(DummyInputGenerator):
    """bbox [batch_size, sequence_length, 4]."""

    SUPPORTED_INPUT_NAMES = ("bbox",)

    def generate(
        self, input_name: str, framework: str = "pt", int_dtype: str = "int64", float_dtype: str = "fp32"
    ) -> Any:
        return self.random_int_tensor(
            (self.batch_size, self.sequence_length, 4), 2, framework=framework, dtype=int_dtype
        )


class DummyVisionInputGenerator(DummyInputGenerator):
    """pixel_values [batch_size, num_channels, height, width], pixel_mask."""

    SUPPORTED_INPUT_NAMES = ("pixel_values", "pixel_mask", "sample", "latent_sample")

    def __init__(self, task: str, normalized_config: Any, **shapes: Any) -> None:
        super().__init__(task, normalized_config, **shapes)
        if normalized_config.has_attribute("num_channels"):
            self.num_channels = normalized_config.num_channels
        if normalized_config.has_attribute("image_size"):
            size = normalized_config.image_size
            self.height, self.width = size if isinstance(size, (list, tuple)) else (size, size)

    def generate(
        self, input_name: str, framework: str = "pt", int_dtype: str = "int64", float_dtype: str = "fp32"
    ) -> Any:
        if input_name == "pixel_mask":
            return self.constant_tensor((self.batch_size, self.height, self.width), 1, int_dtype, framework)
        shape = (self.batch_size, self.num_channels, self.height, self.width)
        return self.random_float_tensor(shape, framework=framework, dtype=float_dtype)


class DummyAudioInputGenerator(DummyInputGenerator):
    """input_values [batch_size, samples], input_features [batch_size, feature_size, frames]."""

    SUPPORTED_INPUT_NAMES = ("input_features", "input_values")

    def generate(
        self, input_name: str, framework: str = "pt", int_dtype: str = "int64", float_dtype: str = "fp32"
    ) -> Any:
        if input_name == "input_values":
            shape: Shape = (self.batch_size, self.audio_sequence_length)
        else:
            shape = (self.batch_size, self.feature_size, self.nb_max_frames)
        return self.random_float_tensor(shape, -1, 1, framework, float_dtype)


class DummyTimestepInputGenerator(DummyInputGenerator):
    """timestep [], text_embeds and time_ids of diffusion models."""

    SUPPORTED_INPUT_NAMES = ("timestep", "text_embeds", "time_ids", "timestep_cond")

    def generate(
        self, input_name: str, framework: str = "pt", int_dtype: str = "int64", float_dtype: str = "fp32"
    ) -> Any:
        if input_name == "timestep":
            return self.random_int_tensor((self.batch_size,), 999, framework=framework, dtype=int_dtype)
        width = {"time_ids": 6, "timestep_cond": 256}.get(
            input_name
        ) or self.normalized_config.text_encoder_projection_dim
        return self.random_float_tensor((self.batch_size, width), framework=framework, dtype=float_dtype)


class DummyLabelsGenerator(DummyInputGenerator):
    """labels, start_positions, end_positions."""

    SUPPORTED_INPUT_NAMES = ("labels", "start_positions", "end_positions")

    def generate(
        self, input_name: str, framework: str = "pt", int_dtype: str = "int64", float_dtype: str = "fp32"
    ) -> Any:
        limit = 1 if input_name != "labels" else getattr(self, "num_labels", 2)
        return self.random_int_tensor((self.batch_size,), limit, framework=framework, dtype=int_dtype)


class DummyPointsGenerator(DummyInputGenerator):
    """input_points and input_labels of segmentation."""

    SUPPORTED_INPUT_NAMES = ("input_points", "input_labels")

    def generate(
        self, input_name: str, framework: str = "pt", int_dtype: str = "int64", float_dtype: str = "fp32"
    ) -> Any:
        shape = (self.batch_size, self.point_batch_size, self.nb_points_per_image)
        if input_name == "input_labels":
            return self.random_int_tensor(shape, 2, framework=framework, dtype=int_dtype)
        return self.random_float_tensor((*shape, 2), framework=framework, dtype=float_dtype)
