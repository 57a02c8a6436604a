"""Adapters of peft in a live pipeline of diffusers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ExportError
from .live_adapters import LiveAdapter

__all__ = ["save_pipeline_adapters"]


def _require_lora(component: str, adapter: LiveAdapter) -> None:
    """Raises ExportError for anything but the two factors of LoRA layers."""
    factors = {f"{path}.lora_{side}.weight" for path in adapter.scaling for side in "AB"}
    others = sorted(adapter.tensors.keys() - factors)
    if adapter.config["peft_type"] != "LORA" or others:
        raise ExportError(
            f"the pipeline's {component} has an adapter of peft that is not merged and no plain LoRA "
            f"({others[0] if others else adapter.config['peft_type']}); call fuse_lora() of the pipeline",
            "unsupported",
        )


def save_pipeline_adapters(adapters: Mapping[str, list[LiveAdapter]], folder: Path) -> None:
    """Saves the active adapters of the models of a pipeline, as diffusers does, with their strengths in them.

    The adapters of a layer become one, whose rank is the sum of theirs.

    Args:
        adapters: Those of each model, by its name in the pipeline.
        folder: The folder to write to.

    Raises:
        ExportError: `unsupported` for an adapter that has more than LoRA layers.
    """
    import torch
    from safetensors.torch import save_file

    down: dict[str, list[Any]] = {}
    up: dict[str, list[Any]] = {}
    for component, of_component in adapters.items():
        for adapter in of_component:
            _require_lora(component, adapter)
            for path, scaling in adapter.scaling.items():
                a, b = (adapter.tensors[f"{path}.lora_{side}.weight"].cpu() for side in "AB")
                down.setdefault(f"{component}.{path}", []).append(a)
                up.setdefault(f"{component}.{path}", []).append(b * scaling)
    tensors = {f"{name}.lora_A.weight": torch.cat(parts, 0).contiguous() for name, parts in down.items()}
    tensors |= {f"{name}.lora_B.weight": torch.cat(parts, 1).contiguous() for name, parts in up.items()}
    save_file(tensors, folder / "pytorch_lora_weights.safetensors", metadata={"format": "pt"})
