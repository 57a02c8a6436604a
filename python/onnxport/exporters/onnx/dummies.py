"""Dummy inputs of a configuration, as NumPy arrays or tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import OnnxConfig

__all__ = ["dummy_inputs", "to_torch"]


def to_torch(array: Any, bfloat16: bool = False) -> Any:
    """A tensor on the memory of an array."""
    import torch

    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if bfloat16 and tensor.dtype == torch.int16 else tensor


def _own_generators(config: OnnxConfig, shapes: dict[str, int]) -> list[Any]:
    """Generators of a script; those of the package stand for ones of the library."""
    classes = [
        cls for cls in config.DUMMY_INPUT_GENERATOR_CLASSES if not cls.__module__.startswith("onnxport.")
    ]
    return [cls(config.task, config._normalized_config, **shapes) for cls in classes]


def dummy_inputs(config: OnnxConfig, framework: str, shapes: dict[str, int], seed: int = 0) -> dict[str, Any]:
    """One tensor per input.

    Raises:
        ValueError: If the framework is neither "np" nor "pt".
    """
    if framework not in ("np", "pt"):
        raise ValueError(f'framework must be "np" or "pt", got {framework!r}')
    generators = _own_generators(config, shapes)
    made = {}
    for name in config.inputs if generators else ():
        for generator in generators:
            if generator.supports_input(name):
                made[name] = generator.generate(
                    name, framework=framework, int_dtype=config.int_dtype, float_dtype=config.float_dtype
                )
                break
    if generators and len(made) == len(config.inputs):
        return made
    arrays = config._changed_config().dummy_inputs(shapes, seed)
    if framework == "pt":
        bfloat16 = config.float_dtype == "bf16"
        return {name: made.get(name, to_torch(array, bfloat16)) for name, array in arrays.items()}
    return {name: made.get(name, array) for name, array in arrays.items()}
