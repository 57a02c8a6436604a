"""Adapters of peft in a live model: its base stays where it is, and the adapters are saved beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ExportError

__all__ = ["base_of", "refuse_adapters", "save_adapters", "save_pipeline_adapters", "state_of_base"]


def _has_adapters(model: Any) -> bool:
    return bool(getattr(model, "peft_config", None))


def refuse_adapters(model: Any, way_out: str) -> None:
    """Raises ExportError for a model with adapters that are not merged."""
    if _has_adapters(model):
        raise ExportError(
            f"the model of class {type(model).__name__} has adapters of peft that are not merged; {way_out}",
            "unsupported",
        )


def base_of(model: Any) -> Any:
    """The model around which peft wraps its own, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def state_of_base(base: Any) -> dict[str, Any]:
    """The state dict without what peft adds to it, and with the names that it had before."""
    state = {}
    for key, value in base.state_dict().items():
        parts = key.split(".")
        if "modules_to_save" in parts or any(part.startswith("lora_") for part in parts):
            continue
        state[".".join(part for part in parts if part not in ("base_layer", "original_module"))] = value
    return state


def _are_in_the_weights(model: Any) -> bool:
    """Whether the layers hold the sums of their weights and of the adapters, or ignore these."""
    layers = [module for module in model.modules() if hasattr(module, "merged_adapters")]
    merged = [module for module in layers if module.merged_adapters]
    if merged and len(merged) < len(layers):
        refuse_adapters(model, "some layers are merged; export model.merge_and_unload()")
    off = bool(layers) and all(getattr(module, "disable_adapters", False) for module in layers)
    return bool(merged) or off


def save_adapters(model: Any, folder: Path) -> list[Path]:
    """Saves the active adapters of a model below a folder, each in a folder of its own.

    Returns:
        These folders, in the order in which peft applies them; none if the model has no adapters.
    """
    if not _has_adapters(model):
        return []
    if not hasattr(model, "modules") or not hasattr(model, "save_pretrained"):
        refuse_adapters(model, "export model.merge_and_unload(), or its saved folder")
    if _are_in_the_weights(model):
        return []
    active = model.active_adapters
    names = list(active() if callable(active) else active)
    if hasattr(model, "get_base_model"):
        model.save_pretrained(folder, selected_adapters=names)
    else:  # a model of transformers with adapters inside, which it saves alone
        model.save_pretrained(folder)
    # peft gives a folder to all but the one that it calls "default".
    return [folder / name if (folder / name).is_dir() else folder for name in names]


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


def save_pipeline_adapters(components: Mapping[str, Any], folder: Path) -> list[Path]:
    """Saves the active adapters of the models of a pipeline, as diffusers does, with their strengths in them.

    Args:
        components: The models, by their names in the pipeline.
        folder: The folder to write to; made if there is something to write.

    Returns:
        The folder, or nothing if no model has adapters.
    """
    tensors = {}
    for component, model in components.items():
        if not _has_adapters(model) or _are_in_the_weights(model):
            continue
        for name, layer in model.named_modules():
            if not hasattr(layer, "merged_adapters"):
                continue
            if not hasattr(layer, "lora_A") or getattr(layer, "lora_magnitude_vector", None):
                refuse_adapters(model, f"'{name}' has one that is no LoRA; call fuse_lora() of the pipeline")
            tensors |= _tensors_of_layer(f"{component}.{name}", layer)
    if not tensors:
        return []
    from safetensors.torch import save_file

    folder.mkdir()
    save_file(tensors, folder / "pytorch_lora_weights.safetensors", metadata={"format": "pt"})
    return [folder]
