"""Live models: their weights stay where they are, and a folder with the small files stands for the rest."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ExportError
from ..json_config import config_text
from ..native import native
from .live_adapters import LiveAdapter, base_model, split_state, write_adapter
from .live_pipelines import save_pipeline_adapters

__all__ = ["LiveCheckpoint", "is_live", "is_pipeline", "library_of", "live_checkpoint"]


def is_live(model: Any) -> bool:
    """Whether this is a model in memory: a torch module, something with a state dict and a configuration, or
    a pipeline of diffusers."""
    return hasattr(model, "state_dict") or is_pipeline(model)


def _root_module(cls: type) -> str:
    return cls.__module__.partition(".")[0]


def is_pipeline(model: Any) -> bool:
    """Whether this is a pipeline of diffusers, which has components."""
    of_diffusers = any(_root_module(cls) == "diffusers" for cls in type(model).__mro__)
    return of_diffusers and hasattr(model, "components")


def library_of(model: Any) -> str:
    """The library of a live model: "transformers", "sentence_transformers", "timm" or "diffusers"."""
    for cls in type(model).__mro__:
        if (root := _root_module(cls)) in ("sentence_transformers", "timm", "diffusers", "transformers"):
            return root
    if hasattr(model, "pretrained_cfg"):
        return "timm"
    return "transformers"


def _array(key: str, tensor: Any) -> Any:
    """The tensor as something that DLPack reads: in the processor's memory, dense, without gradients."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach()
    device = str(getattr(tensor, "device", "cpu"))
    if device.startswith("meta"):
        raise ExportError(
            f"tensor '{key}' of the model in memory has no values: it is on the device 'meta'",
            "bad_checkpoint",
        )
    if not device.startswith("cpu") and hasattr(tensor, "cpu"):
        tensor = tensor.cpu()
    if hasattr(tensor, "is_contiguous") and not tensor.is_contiguous():
        tensor = tensor.contiguous()
    elif hasattr(tensor, "flags") and not tensor.flags["C_CONTIGUOUS"]:
        import numpy

        tensor = numpy.ascontiguousarray(tensor)
    return tensor


def _tied_keys(model: Any, keys: Iterable[str]) -> set[str]:
    """The keys that save_pretrained leaves out if they share their memory with another one."""
    names = getattr(model, "_tied_weights_keys", None) or ()
    patterns = [re.compile(name) for name in names]
    return {key for key in keys if any(pattern.search(key) for pattern in patterns)}


def _tensors(model: Any, state: dict[str, Any]) -> list[tuple[str, Any]]:
    arrays = {key: _array(key, tensor) for key, tensor in state.items() if hasattr(tensor, "shape")}
    tied = _tied_keys(model, arrays)
    address = {key: array.data_ptr() for key, array in arrays.items() if hasattr(array, "data_ptr")}
    kept = {address[key] for key in address if key not in tied}
    return [(key, array) for key, array in arrays.items() if not (key in tied and address.get(key) in kept)]


def _save_quietly(part: Any, folder: Path) -> None:
    """Generation settings, tokenizers and processors go along if they are there."""
    if part is not None and hasattr(part, "save_pretrained"):
        part.save_pretrained(folder)


def _write_transformers(model: Any, folder: Path) -> None:
    config = getattr(model, "config", None)
    if config is None:
        raise ExportError(f"the model of class {type(model).__name__} has no 'config'", "bad_config")
    (folder / "config.json").write_text(config_text(config, type(model).__name__), encoding="utf-8")
    generation = getattr(model, "generation_config", None)
    if generation is not None and hasattr(model, "generate"):
        (folder / "generation_config.json").write_text(generation.to_json_string(), encoding="utf-8")


def _write_sentence_transformers(model: Any, folder: Path) -> Any:
    """Writes the modules and returns the model of the first one, whose folder is the root."""
    import json

    modules = []
    first: Any = None
    for index, (name, module) in enumerate(model.named_children()):
        kind = type(module)
        place = "" if index == 0 else f"{index}_{kind.__name__}"
        modules.append(
            {
                "idx": index,
                "name": name,
                "path": place,
                "type": f"sentence_transformers.models.{kind.__name__}",
            }
        )
        if index == 0:
            first = getattr(module, "auto_model", None)
            if first is None:
                raise ExportError(
                    f"the first module is a {kind.__name__}, which has no model of transformers",
                    "unsupported",
                )
            _write_transformers(base_model(first), folder)
            settings = {
                "max_seq_length": getattr(module, "max_seq_length", None),
                "do_lower_case": getattr(module, "do_lower_case", False),
            }
            (folder / "sentence_bert_config.json").write_text(json.dumps(settings), encoding="utf-8")
        else:
            (folder / place).mkdir()
            module.save(str(folder / place))
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    _save_quietly(getattr(model, "tokenizer", None), folder)
    return first


def _write_timm(model: Any, folder: Path) -> None:
    from timm.models._hub import save_config_for_hf

    save_config_for_hf(model, str(folder / "config.json"))


@dataclass(frozen=True)
class LiveCheckpoint:
    """A folder that stands for a live model, and those of its adapters."""

    folder: Path
    adapters: list[Path]


def _hold(folder: Path, tensors: list[tuple[str, Any]], held: ExitStack) -> None:
    """Puts tensors in the place of the weights of a folder, as long as `held` lasts."""
    weights = [native.LiveWeights(folder, tensors)]
    held.callback(weights.clear)


def _temporary_folder(held: ExitStack) -> Path:
    """An empty folder, which exists as long as `held` lasts."""
    return Path(held.enter_context(tempfile.TemporaryDirectory(prefix="onnxport-")))


def _hold_model(model: Any, folder: Path, held: ExitStack) -> list[LiveAdapter]:
    """Puts the weights of a model, without its adapters, in the place of those of a folder.

    Returns:
        The active adapters.
    """
    state, adapters = split_state(model)
    _hold(folder, _tensors(base_model(model), state), held)
    return adapters


def _adapter_folders(adapters: list[LiveAdapter], held: ExitStack) -> list[Path]:
    folders = []
    for adapter in adapters:
        folders.append(_temporary_folder(held))
        weights = write_adapter(adapter, folders[-1])
        _hold(weights, [(key, _array(key, tensor)) for key, tensor in adapter.stored_tensors()], held)
    return folders


def _write_component(model: Any, folder: Path, held: ExitStack) -> list[LiveAdapter]:
    """Fills the folder of a model of diffusers, or of another component of a pipeline.

    Returns:
        The active adapters.
    """
    if hasattr(model, "save_config"):  # of diffusers
        model.save_config(folder)
    else:
        _write_transformers(base_model(model), folder)
    return _hold_model(model, folder, held)


def _write_pipeline(pipeline: Any, folder: Path, held: ExitStack) -> list[Path]:
    """Fills the folder of a pipeline.

    Returns:
        The folder of the active adapters, if there are any.
    """
    pipeline.save_config(folder)
    adapters = {}
    for name, part in pipeline.components.items():
        place = folder / name
        if hasattr(part, "state_dict"):
            place.mkdir()
            adapters[name] = _write_component(part, place, held)
        else:
            _save_quietly(part, place)
    if not any(adapters.values()):
        return []
    saved = _temporary_folder(held)
    save_pipeline_adapters(adapters, saved)
    return [saved]


def _write_model_of_diffusers(model: Any, folder: Path, held: ExitStack) -> list[Path]:
    if is_pipeline(model):
        return _write_pipeline(model, folder, held)
    if _write_component(model, folder, held):
        raise ExportError(
            f"the model of class {type(model).__name__} has adapters of peft that are not merged; call "
            "fuse_lora(), or export the pipeline",
            "unsupported",
        )
    return []


@contextmanager
def live_checkpoint(model: Any, preprocessors: Iterable[Any] = ()) -> Iterator[LiveCheckpoint]:
    """A folder that stands for a live model as long as the context lasts. No weight is copied.

    Adapters of peft that are active and not merged have folders of their own.

    Args:
        model: A model of transformers, sentence-transformers or timm, or a pipeline of
            diffusers or one of its components.
        preprocessors: Tokenizers and processors, which are saved beside it.
    """
    library = library_of(model)
    with ExitStack() as held:
        folder = _temporary_folder(held)
        if library == "diffusers":
            adapters = _write_model_of_diffusers(model, folder, held)
        else:
            if library == "sentence_transformers":
                model = _write_sentence_transformers(model, folder)
            elif library == "timm":
                _write_timm(model, folder)
            else:
                _write_transformers(base_model(model), folder)
            adapters = _adapter_folders(_hold_model(model, folder, held), held)
        for part in preprocessors:
            _save_quietly(part, folder)
        yield LiveCheckpoint(folder, adapters)
