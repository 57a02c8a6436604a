"""The base class of generators of dummy inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

__all__ = [
    "DEFAULT_DUMMY_SHAPES",
    "DummyInputGenerator",
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
