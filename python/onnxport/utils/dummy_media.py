"""Generators of dummy inputs for images, audio and diffusion."""

from __future__ import annotations

from typing import Any

from .dummy_base import DummyInputGenerator, Shape

__all__ = [
    "DummyAudioInputGenerator",
    "DummyBboxInputGenerator",
    "DummyLabelsGenerator",
    "DummyPointsGenerator",
    "DummyTimestepInputGenerator",
    "DummyVisionInputGenerator",
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
