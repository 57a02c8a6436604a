"""Adapters of peft in a live pipeline of diffusers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ExportError

__all__ = ["save_pipeline_adapters"]


def _refuse(model: Any, way_out: str) -> None:
    raise ExportError(
        f"the model of class {type(model).__name__} has adapters of peft that are not merged; {way_out}",
        "unsupported",
    )


def _are_in_the_weights(model: Any) -> bool:
    """Whether the layers hold the sums of their weights and of the adapters, or ignore these."""
    layers = [module for module in model.modules() if hasattr(module, "merged_adapters")]
    merged = [module for module in layers if module.merged_adapters]
    if merged and len(merged) < len(layers):
        _refuse(model, "some layers are merged; call fuse_lora() of the pipeline")
    off = bool(layers) and all(getattr(module, "disable_adapters", False) for module in layers)
    return bool(merged) or off


def _tensors_of_layer(name: str, layer: Any) -> dict[str, Any]:
    """All active adapters of a layer as one, whose rank is the sum of theirs."""
    import torch

    active = [one for one in layer.active_adapters if one in layer.lora_A]
    if not active:
        return {}
    down = [layer.lora_A[one].weight.detach().cpu() for one in active]
    up = [layer.lora_B[one].weight.detach().cpu() * layer.scaling[one] for one in active]
    return {
        f"{name}.lora_A.weight": torch.cat(down, 0).contiguous(),
        f"{name}.lora_B.weight": torch.cat(up, 1).contiguous(),
    }


def save_pipeline_adapters(components: Mapping[str, Any], folder: Path) -> bool:
    """Saves the active adapters of the models of a pipeline, as diffusers does, with their strengths in them.

    Args:
        components: The models, by their names in the pipeline.
        folder: The folder to write to.

    Returns:
        Whether a model has adapters.
    """
    tensors = {}
    for component, model in components.items():
        if not getattr(model, "peft_config", None) or _are_in_the_weights(model):
            continue
        for name, layer in model.named_modules():
            if not hasattr(layer, "merged_adapters"):
                continue
            if not hasattr(layer, "lora_A") or getattr(layer, "lora_magnitude_vector", None):
                _refuse(model, f"'{name}' has one that is no LoRA; call fuse_lora() of the pipeline")
            tensors |= _tensors_of_layer(f"{component}.{name}", layer)
    if not tensors:
        return False
    from safetensors.torch import save_file

    save_file(tensors, folder / "pytorch_lora_weights.safetensors", metadata={"format": "pt"})
    return True
