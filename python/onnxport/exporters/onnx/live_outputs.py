"""What a live model of PyTorch computes for dummy inputs, as a file for the library's validation."""

from __future__ import annotations

import copy
import inspect
import json
import re
import struct
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...native import native

if TYPE_CHECKING:
    from .base import OnnxConfig

__all__ = ["arguments_of", "named_outputs", "record_export", "record_outputs"]

_SAFETENSORS = {
    "float32": "F32",
    "float16": "F16",
    "float64": "F64",
    "int64": "I64",
    "int32": "I32",
    "int8": "I8",
    "bool": "BOOL",
}
_STATE = re.compile(r"(?:past_key_values|present)\.(\d+)\.(.+)")


def _write_safetensors(path: Path, arrays: Mapping[str, Any]) -> None:
    header, offset = {}, 0
    for name, array in arrays.items():
        header[name] = {
            "dtype": _SAFETENSORS[str(array.dtype)],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for array in arrays.values():
            file.write(array.tobytes())


def _cache(states: dict[int, dict[str, Any]]) -> Any:
    """The cache of a decoder, as the installed transformers wants it."""
    pairs = tuple((states[layer]["key"], states[layer]["value"]) for layer in sorted(states))
    from transformers import DynamicCache

    if hasattr(DynamicCache, "from_legacy_cache"):
        return DynamicCache.from_legacy_cache(pairs)
    cache = DynamicCache()
    for layer, (key, value) in enumerate(pairs):
        cache.update(key, value, layer)
    return cache


def arguments_of(model: Any, config: OnnxConfig, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
    """Arguments of `forward`; None if the file takes something that the model does not."""
    known = inspect.signature(model.forward).parameters
    to_torch = {
        given: own for own, given in config.torch_to_onnx_input_map.items()
    } | config.origins_of_inputs()
    arguments: dict[str, Any] = {}
    states: dict[int, dict[str, Any]] = {}
    for name, value in inputs.items():
        if match := _STATE.fullmatch(name):
            states.setdefault(int(match[1]), {})[match[2]] = value
        elif (own := to_torch.get(name, name)) in known:
            arguments[own] = value
        elif name == "encoder_hidden_states" and "encoder_outputs" in known:
            arguments["encoder_outputs"] = (value,)
        else:
            return None
    if states:
        if any(set(parts) != {"key", "value"} for parts in states.values()) or "past_key_values" not in known:
            return None
        arguments["past_key_values"] = _cache(states)
    return arguments


def _presents(cache: Any) -> dict[str, Any]:
    if hasattr(cache, "to_legacy_cache"):
        cache = cache.to_legacy_cache()
    elif hasattr(cache, "layers"):
        cache = [(layer.keys, layer.values) for layer in cache.layers]
    named = {}
    for layer, parts in enumerate(cache):
        if len(parts) != 2:
            return {}
        named[f"present.{layer}.key"], named[f"present.{layer}.value"] = parts
    return named


def named_outputs(results: Any, config: OnnxConfig) -> dict[str, Any]:
    """The tensors among the results, by the names of a file."""
    to_onnx = config.torch_to_onnx_output_map
    found = {}
    for name, value in results.items():
        if hasattr(value, "detach"):
            found[to_onnx.get(name, name)] = value
        elif name == "past_key_values" and value is not None:
            found |= _presents(value)
    return found


def _outputs(results: Any, config: OnnxConfig) -> dict[str, Any]:
    """Those results that the file gives, too."""
    found = named_outputs(results, config)
    return {name: found[name] for name in config.outputs if name in found}


def _array(tensor: Any) -> Any:
    tensor = tensor.detach().cpu()
    if str(tensor.dtype) == "torch.bfloat16":
        tensor = tensor.float()
    return tensor.contiguous().numpy()


def record_outputs(model: Any, config: OnnxConfig, shapes: dict[str, int], path: Path) -> bool:
    """Runs the model on dummy inputs and writes these and its outputs.

    Returns:
        False if the file describes a part of the model that cannot be called alone.
    """
    from ..live import library_of
    from ..live_adapters import base_model

    model = base_model(model)
    if getattr(config, "behavior", None) == "encoder":
        model = model.get_encoder() if hasattr(model, "get_encoder") else model
    if (
        not hasattr(model, "forward")
        or library_of(model) == "sentence_transformers"
        or config.float_dtype == "bf16"
    ):
        return False
    import torch

    inputs = config.generate_dummy_inputs("pt", **shapes)
    arguments = arguments_of(model, config, inputs)
    if arguments is None:
        return False
    if config.float_dtype == "fp32" and _is_half(model):
        model = copy.deepcopy(model).float()  # the file computes in float32, too
    parameter = next(model.parameters(), None)
    was_training = model.training
    model.eval()
    try:
        patched = config.patch_model_for_export(model) if config.patches_forward() else nullcontext()
        with torch.no_grad(), patched:
            moved = {name: _moved(value, parameter) for name, value in arguments.items()}
            results = model(**moved)
    finally:
        model.train(was_training)
    outputs = _outputs(results, config) if hasattr(results, "items") else {}
    if not outputs and hasattr(results, "detach"):
        outputs = {next(iter(config.outputs)): results}
    if not outputs:
        return False
    recorded = {f"in/{name}": _array(value) for name, value in inputs.items()}
    recorded |= {f"out/{name}": _array(value) for name, value in outputs.items()}
    _write_safetensors(path, recorded)
    return True


def _is_half(model: Any) -> bool:
    parameter = next((one for one in model.parameters() if one.is_floating_point()), None)
    return parameter is not None and parameter.element_size() < 4


def _moved(value: Any, parameter: Any) -> Any:
    """The value where the model is, and floats in its dtype."""
    if parameter is None or not hasattr(value, "to"):
        return value
    if value.is_floating_point():
        return value.to(parameter.device, parameter.dtype)
    return value.to(parameter.device)


def record_export(model: Any, options: Mapping[str, Any], path: Path) -> bool:
    """The same for an export with these options of the library.

    Returns:
        False if it has several files, or another precision.
    """
    from ..live import library_of
    from ..tasks import TasksManager

    if library_of(model) != "transformers" or not hasattr(model, "parameters"):
        return False
    if options["dtype"] != "fp32" or options.get("quantize") or options.get("variants"):
        return False
    components = native.plan_components(dict(options))
    if len(components) != 1:
        return False
    task = components[0][3]
    constructor = TasksManager.get_exporter_config_constructor("onnx", model, task=task)
    config = constructor(
        model.config, interface_options=options["interface_options"], variant=options["variant"]
    )
    same = (list(config.inputs), list(config.outputs)) == (components[0][5], components[0][6])
    return same and record_outputs(model, config, dict(options["shapes"] or {}), path)
