"""Patched forward functions of scripts. Nothing is traced: one call shows which outputs a patch chooses and renames."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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


def check_patching_specs(config: OnnxConfig) -> None:
    """Raises ExportError(unsupported) for a configuration with PATCHING_SPECS."""
    if config.PATCHING_SPECS:
        raise ExportError(
            f"{type(config).__name__}.PATCHING_SPECS puts other functions into a traced model; {_DEFINITION}",
            "unsupported",
        )


@contextmanager
def _in_place(
    model: Any, name: str, function: Callable[..., Any], original: Callable[..., Any]
) -> Iterator[None]:
    """Puts a function in the place of the model's original one as long as the context lasts."""
    was_own = name in vars(model)
    setattr(model, name, function)
    try:
        yield
    finally:
        if was_own:
            setattr(model, name, original)
        else:
            delattr(model, name)


class ModelPatcher:
    """Puts `patched_forward` in the place of a model's `forward` as long as the context lasts.

    A script derives from it and sets `patched_forward`. Its outputs have to be outputs of the model itself.

    Args:
        config: The configuration whose outputs the patched model returns.
        model: A live model of PyTorch.
        model_kwargs: More arguments of every call.
    """

    def __init__(self, config: OnnxConfig, model: Any, model_kwargs: Mapping[str, Any] | None = None) -> None:
        check_patching_specs(config)
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
        self._patch = _in_place(self._model, self.orig_forward_name, self.patched_forward, self.orig_forward)
        self._patch.__enter__()
        return self

    def __exit__(self, *_: Any) -> None:
        self.restore_ops()
        self._patch.__exit__(None, None, None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.patched_forward(*args, **kwargs)


def _same(one: Any, other: Any) -> bool:
    return one is other or (
        one.data_ptr() == other.data_ptr()
        and (one.shape, one.dtype) == (other.shape, other.dtype)
        and one.stride() == other.stride()
    )


@contextmanager
def _recorded(model: Any) -> Iterator[list[tuple[tuple[Any, ...], dict[str, Any], Any]]]:
    """The calls of a model's own `forward`: arguments and results."""
    calls = []
    original = model.forward

    @functools.wraps(original)
    def forward(*args: Any, **kwargs: Any) -> Any:
        results = original(*args, **kwargs)
        calls.append((args, kwargs, results))
        return results

    with _in_place(model, "forward", forward, original):
        yield calls


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
            f"{name} patches the forward function of the model, which has to run once for the names of its outputs; "
            f"give the live model of PyTorch, got {type(model).__name__}",
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
        with _recorded(model) as calls, torch.no_grad(), config.patch_model_for_export(model):
            results = model(**given)
    finally:
        model.train(was_training)
    if len(calls) != 1:
        raise ExportError(
            f"the patched forward of {name} calls the model {len(calls)} times, expected once; {_DEFINITION}",
            "unsupported",
        )
    args, kwargs, own = calls[0]
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
