"""Patched forward functions of scripts. Nothing is traced: a patch may choose and rename outputs, and that is read off."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import ExportError

if TYPE_CHECKING:
    from .base import OnnxConfig

__all__ = ["ModelPatcher", "PatchingSpec"]

_DEFINITION = "nothing is traced here: write the change as a definition with onnxport.nn"
#: Arguments that only choose what a model returns.
_CHOICES = ("use_cache", "return_dict", "output_attentions", "output_hidden_states")


@dataclass
class PatchingSpec:
    """A function or module of PyTorch with another one in its place. A configuration with PATCHING_SPECS is refused."""

    o: Any
    name: str
    custom_op: Any = None
    orig_op: Any = None
    op_wrapper: Any = None


class ModelPatcher:
    """Puts `patched_forward` in the place of a model's `forward` as long as the context lasts.

    A script derives from it and sets `patched_forward`. Its outputs have to be outputs of the model itself.

    Args:
        config: The configuration whose outputs the patched model returns.
        model: A live model of PyTorch.
        model_kwargs: More arguments of every call.
    """

    def __init__(self, config: OnnxConfig, model: Any, model_kwargs: Mapping[str, Any] | None = None) -> None:
        if config.PATCHING_SPECS:
            raise ExportError(
                f"{type(config).__name__}.PATCHING_SPECS puts other functions into a traced model; {_DEFINITION}",
                "unsupported",
            )
        self._model = model
        self.real_config = config
        self.model_kwargs = dict(model_kwargs or {})
        self.orig_forward_name = "forward"
        self.orig_forward = model.forward

        @functools.wraps(self.orig_forward)
        def patched_forward(*args: Any, **kwargs: Any) -> dict[str, Any]:
            results = self.orig_forward(*args, **kwargs, **self.model_kwargs)
            to_onnx = config.torch_to_onnx_output_map
            names = {to_onnx.get(name, name) for name in config.outputs} | {"past_key_values"}
            return {name: value for name, value in results.items() if to_onnx.get(name, name) in names}

        self.patched_forward: Any = patched_forward

    def patch_ops(self) -> None:
        """Does nothing: a patcher has no PATCHING_SPECS here."""

    def restore_ops(self) -> None:
        """Does nothing."""

    def __enter__(self) -> ModelPatcher:
        self.patch_ops()
        self._was_own = self.orig_forward_name in vars(self._model)
        setattr(self._model, self.orig_forward_name, self.patched_forward)
        return self

    def __exit__(self, *_: Any) -> None:
        self.restore_ops()
        if self._was_own:
            setattr(self._model, self.orig_forward_name, self.orig_forward)
        else:
            delattr(self._model, self.orig_forward_name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.patched_forward(*args, **kwargs)


def _same(one: Any, other: Any) -> bool:
    return one is other or (
        one.data_ptr() == other.data_ptr()
        and (one.shape, one.dtype) == (other.shape, other.dtype)
        and one.stride() == other.stride()
    )


class _Recorder:
    """The calls of a model's own `forward`."""

    def __init__(self, model: Any) -> None:
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any], Any]] = []
        self._model = model
        self._forward = model.forward

    def __enter__(self) -> _Recorder:
        @functools.wraps(self._forward)
        def forward(*args: Any, **kwargs: Any) -> Any:
            results = self._forward(*args, **kwargs)
            self.calls.append((args, kwargs, results))
            return results

        self._was_own = "forward" in vars(self._model)
        self._model.forward = forward
        return self

    def __exit__(self, *_: Any) -> None:
        if self._was_own:
            self._model.forward = self._forward
        else:
            del self._model.forward


def _changed_arguments(
    given: Mapping[str, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[str]:
    """The arguments that the model did not get as they were given."""
    changed = [f"argument {index}" for index in range(len(args))]
    changed += [f"'{name}'" for name, value in given.items() if kwargs.get(name) is not value]
    more = (name for name in kwargs if name not in given and name not in _CHOICES)
    return [*changed, *(f"'{name}'" for name in more if kwargs[name] is not None)]


def _tensors(results: Any, config: OnnxConfig) -> Iterator[tuple[str, Any]]:
    """The tensors that a model returns, by the names of the file."""
    from .live_outputs import named_outputs

    if hasattr(results, "items"):
        yield from named_outputs(results, config).items()
    else:
        values = results if isinstance(results, (tuple, list)) else (results,)
        yield from zip(config.outputs, values, strict=False)


def origins_of_outputs(config: OnnxConfig, model: Any) -> dict[str, str]:
    """Which output of the model each output of a patched forward is. The model runs once, on dummy inputs.

    Raises:
        ExportError: `unsupported` if the patch changes inputs or computes something.
    """
    from ..live_adapters import base_model
    from .live_outputs import arguments_of

    name = type(config).__name__
    model = base_model(model)
    if not hasattr(model, "parameters") or not hasattr(model, "forward"):
        raise ExportError(
            f"{name} patches the forward function of the model, which tells here what its outputs are called; give the "
            f"live model of PyTorch, got {type(model).__name__}",
            "unsupported",
        )
    import torch

    given = arguments_of(model, config, config.generate_dummy_inputs("pt"))
    if given is None:
        raise ExportError(
            f"{name}: the model does not take all inputs {', '.join(config.inputs)}", "unsupported"
        )
    was_training = model.training
    model.eval()
    try:
        with _Recorder(model) as recorder, torch.no_grad(), config.patch_model_for_export(model):
            results = model(**given)
    finally:
        model.train(was_training)
    if len(recorder.calls) != 1:
        raise ExportError(
            f"the patched forward of {name} calls the model {len(recorder.calls)} times, expected once; {_DEFINITION}",
            "unsupported",
        )
    args, kwargs, own = recorder.calls[0]
    if changed := _changed_arguments(given, args, kwargs):
        raise ExportError(
            f"the patched forward of {name} changes {', '.join(changed)} of the model; {_DEFINITION}",
            "unsupported",
        )
    found = dict(_tensors(results, config))
    originals = dict(_tensors(own, config))
    origins = {}
    for output in config.outputs:
        if output not in found:
            raise ExportError(
                f"the patched forward of {name} does not return '{output}'; it returns {', '.join(found)}",
                "unsupported",
            )
        origin = next((key for key, value in originals.items() if _same(value, found[output])), None)
        if origin is None:
            raise ExportError(
                f"the patched forward of {name} computes '{output}', which is none of the model's outputs "
                f"({', '.join(originals)}); {_DEFINITION}",
                "unsupported",
            )
        origins[output] = origin
    return origins
