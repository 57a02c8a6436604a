"""The base classes of decoders and encoder-decoders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .axes import ConfigBehavior
from .onnx_config import OnnxConfig

__all__ = ["OnnxConfigWithPast", "OnnxSeq2SeqConfigWithPast"]

_WITH_PAST = "-with-past"


class OnnxConfigWithPast(OnnxConfig):
    """A decoder with a cache of keys and values.

    Args:
        use_past: Whether the file returns the cache.
        use_past_in_inputs: Whether it also takes it.
    """

    def __init__(
        self,
        config: Any,
        task: str = "feature-extraction",
        int_dtype: str = "int64",
        float_dtype: str = "fp32",
        use_past: bool = False,
        use_past_in_inputs: bool = False,
        preprocessors: Iterable[Any] | None = None,
        legacy: bool = False,
        **options: Any,
    ) -> None:
        if task.endswith(_WITH_PAST):
            task = task.removesuffix(_WITH_PAST)
            use_past = True
            use_past_in_inputs = use_past_in_inputs or not task.startswith("feature-extraction")
        self.use_past = use_past
        self.use_past_in_inputs = use_past_in_inputs
        super().__init__(config, task, preprocessors, int_dtype, float_dtype, legacy, **options)

    def _native_task(self) -> str:
        return self.task + _WITH_PAST if self.use_past else self.task

    def add_past_key_values(self, inputs_or_outputs: dict[str, dict[int, str]], direction: str) -> None:
        """Adds the names and axes of the cache.

        Args:
            inputs_or_outputs: The mapping to fill.
            direction: "inputs" or "outputs".
        """
        if direction not in ("inputs", "outputs"):
            raise ValueError(f'direction must be "inputs" or "outputs", got {direction!r}')
        for taken, given, past, present in self._native.states:
            name = taken if direction == "inputs" else given
            if name:
                inputs_or_outputs[name] = past if direction == "inputs" else present


class OnnxSeq2SeqConfigWithPast(OnnxConfigWithPast):
    """An encoder with a decoder.

    Args:
        behavior: The part that this configuration describes.
    """

    def __init__(
        self,
        config: Any,
        task: str = "feature-extraction",
        int_dtype: str = "int64",
        float_dtype: str = "fp32",
        use_past: bool = False,
        use_past_in_inputs: bool = False,
        behavior: ConfigBehavior | str = ConfigBehavior.MONOLITH,
        preprocessors: Iterable[Any] | None = None,
        legacy: bool = False,
        **options: Any,
    ) -> None:
        self._behavior = ConfigBehavior(behavior)
        super().__init__(
            config,
            task,
            int_dtype,
            float_dtype,
            use_past,
            use_past_in_inputs,
            preprocessors,
            legacy,
            **options,
        )

    @property
    def behavior(self) -> ConfigBehavior:
        """The part that this configuration describes."""
        return self._behavior

    def _make_native(self) -> Any:
        whole = super()._make_native()
        if self._behavior is ConfigBehavior.MONOLITH:
            return whole
        return whole.with_behavior(self._behavior.value, self.use_past, self.use_past_in_inputs)

    def with_behavior(
        self, behavior: str | ConfigBehavior, use_past: bool = False, use_past_in_inputs: bool = False
    ) -> OnnxSeq2SeqConfigWithPast:
        """The configuration of a part.

        Args:
            behavior: The part.
            use_past: Whether its file returns the cache.
            use_past_in_inputs: Whether it also takes it.
        """
        return type(self)(
            self._config,
            task=self.task,
            int_dtype=self.int_dtype,
            float_dtype=self.float_dtype,
            use_past=use_past,
            use_past_in_inputs=use_past_in_inputs,
            behavior=behavior,
            preprocessors=self._preprocessors,
            legacy=self.legacy,
            variant=self._variant,
            interface_options=self._interface_options,
        )
