"""Adapters of peft in a live model: they stay apart, and are merged into the weights while these are written."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ExportError

__all__ = ["LiveAdapter", "base_model", "split_state", "write_adapter"]

#: Parts of peft's wrappers in a key: those that an adapter owns, with its name.
_OWNED = re.compile(
    r"(?P<path>.+)\.(?:"
    r"(?P<lora>lora_[AB])\.(?P<a>[^.]+)(?P<part>\.weight|\.bias)"
    r"|(?P<other>lora_embedding_[AB]|lora_magnitude_vector)\.(?P<b>[^.]+)(?:\.weight)?"
    r"|modules_to_save\.(?P<c>[^.]+)\.(?P<rest>.+)"
    r")"
)


@dataclass
class LiveAdapter:
    """An adapter: adapter_config.json as an object, and its tensors, whose names begin with paths of modules."""

    config: dict[str, Any]
    #: The strengths of its LoRA layers, by their paths.
    scaling: dict[str, float]
    tensors: dict[str, Any] = field(default_factory=dict)

    def stored_tensors(self) -> Iterator[tuple[str, Any]]:
        """The tensors under their names in adapter_model.safetensors."""
        for key, tensor in self.tensors.items():
            yield f"base_model.model.{key}", tensor


def base_model(model: Any) -> Any:
    """The model of transformers in which peft put its adapters, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _wrappers(model: Any) -> Iterator[tuple[str, Any]]:
    """The modules that peft put there, with their paths."""
    for path, module in model.named_modules():
        if hasattr(module, "active_adapters") and (
            hasattr(module, "scaling") or hasattr(module, "modules_to_save")
        ):
            yield path, module


def _active(module: Any) -> list[str]:
    """The adapters that a module computes apart from its weights: none, if some are merged into these."""
    if getattr(module, "disable_adapters", False) or getattr(module, "merged_adapters", ()):
        return []
    there = {*getattr(module, "scaling", ()), *getattr(module, "modules_to_save", ())}
    return [name for name in module.active_adapters if name in there]


def _settings(config: Any, layers: dict[str, Any], name: str) -> dict[str, Any]:
    """adapter_config.json, with the ranks and factors that the layers compute with."""
    settings = {key: _plain(value) for key, value in config.to_dict().items()}
    if not layers:  # modules_to_save alone, or another method
        return settings
    ranks = {path: layer.r[name] for path, layer in layers.items()}
    alphas = {path: layer.scaling[name] * layer.r[name] for path, layer in layers.items()}
    settings |= {"r": Counter(ranks.values()).most_common(1)[0][0], "use_rslora": False}
    settings |= {"lora_alpha": Counter(alphas.values()).most_common(1)[0][0]}
    for key, values in (("rank_pattern", ranks), ("alpha_pattern", alphas)):
        # The first pattern that matches the end of a path counts, and that of the whole path is the longest.
        longest = sorted(values, key=len, reverse=True)
        same = len(set(values.values())) == 1
        settings[key] = {} if same else {re.escape(path): values[path] for path in longest}
    return settings


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, (set, frozenset)) else getattr(value, "value", value)


def _names(configs: dict[str, Any], base: Any, wrapped: bool, used: dict[str, list[str]]) -> list[str]:
    """The adapters to merge. Those of other methods are among them, so that the library refuses them by name."""
    active = dict.fromkeys(name for names in used.values() for name in names)
    in_place = wrapped or any(
        path and hasattr(module, "active_adapters") for path, module in base.named_modules()
    )
    others = [name for name, config in configs.items() if in_place and _plain(config.peft_type) != "LORA"]
    return [*active, *(name for name in others if name not in active)]


def split_state(model: Any) -> tuple[dict[str, Any], list[LiveAdapter]]:
    """The state dict of a model without the wrappers of peft, and the adapters that are active.

    Raises:
        ExportError: `unsupported` for adapters whose sum is not that of merging one after the other.
    """
    base = base_model(model)
    state = base.state_dict()
    configs = getattr(model, "peft_config", None)
    if not configs:
        return state, []
    wrappers = dict(_wrappers(base))
    used = {path: _active(module) for path, module in wrappers.items()}
    names = _names(configs, base, base is not model, used)
    adapters = {}
    for name in names:
        layers = {
            path: module
            for path, module in wrappers.items()
            if name in used[path] and hasattr(module, "scaling")
        }
        scaling = {path: layer.scaling[name] for path, layer in layers.items()}
        adapters[name] = LiveAdapter(_settings(configs[name], layers, name), scaling)
    if len(names) > 1 and any(adapter.config.get("use_dora") for adapter in adapters.values()):
        raise ExportError(
            f"the model has {len(names)} active adapters ({', '.join(names)}), of which one is of DoRA: together they "
            "do not compute what merging one after the other gives; activate one of them with set_adapter",
            "unsupported",
        )
    tensors: dict[str, Any] = {}
    for key, tensor in state.items():
        if match := _OWNED.fullmatch(key):
            name = match["a"] or match["b"] or match["c"]
            if name in used.get(match["path"], ()):
                part = f"{match['lora']}{match['part']}" if match["lora"] else match["other"] or match["rest"]
                adapters[name].tensors[f"{match['path']}.{part}"] = tensor
        else:
            tensors[_base_key(key, wrappers)] = tensor
    return tensors, list(adapters.values())


def _base_key(key: str, wrappers: dict[str, Any]) -> str:
    """The key without the names of wrappers."""
    for inner in (".base_layer.", ".original_module."):
        path, found, rest = key.partition(inner)
        if found and path in wrappers:
            return f"{path}.{rest}"
    return key


def write_adapter(adapter: LiveAdapter, folder: Path) -> Path:
    """Writes the configuration, and makes an empty folder of weights, for which the tensors in memory stand.

    Returns:
        The folder of weights.
    """
    (folder / "adapter_config.json").write_text(json.dumps(adapter.config), encoding="utf-8")
    weights = folder / "adapter_model.safetensors"
    weights.mkdir()
    return weights
