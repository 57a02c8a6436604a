"""The base class of configurations: the interface of an exported file.

The C++ library has the same classes, and computes; those here are their form in Python. A class that a script derives
may change names, axes, tolerance and opset, and its objects then describe the file that is exported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from ...errors import ExportError
from ...json_config import config_text, model_type_of
from ...native import native
from ...utils.input_generators import DummyInputGenerator
from ...utils.normalized_config import NormalizedConfig
from .axes import Axes, as_pairs
from .dummies import dummy_inputs
from .model_patcher import ModelPatcher, check_patching_specs, origins_of_outputs
from .preprocessors import preprocessors_folder

__all__ = ["OnnxConfig"]


class OnnxConfig:
    """Inputs, outputs, axes, dummy inputs and tolerance of one exported file.

    Args:
        config: A `PretrainedConfig` of transformers, or the content of a config.json as a dict.
        task: The task, or a synonym.
        preprocessors: Processors, which tell the size of images.
        int_dtype: "int64", "int32" or "int8": the type of integer inputs.
        float_dtype: "fp32", "fp16" or "bf16".
        legacy: Accepted for compatibility.
    """

    #: Names of common quantities in the configuration.
    NORMALIZED_CONFIG_CLASS: ClassVar[Any] = NormalizedConfig
    #: Classes that make dummy inputs. The library has its own; those of a script come first.
    DUMMY_INPUT_GENERATOR_CLASSES: ClassVar[tuple[type[DummyInputGenerator], ...]] = ()
    #: Largest difference from the model that validation accepts, or one per task.
    ATOL_FOR_VALIDATION: float | dict[str, float] = 1e-5
    DEFAULT_ONNX_OPSET: int = 18
    #: Information for scripts: a definition needs neither library.
    MIN_TORCH_VERSION: ClassVar[str] = "0"
    MIN_TRANSFORMERS_VERSION: ClassVar[str] = "0"
    #: Patches of torch modules, for tracing. Here they are an error.
    PATCHING_SPECS: ClassVar[list[Any] | None] = None
    #: A class derived from ModelPatcher, which may choose and rename outputs.
    _MODEL_PATCHER: ClassVar[Any] = None
    VARIANTS: ClassVar[dict[str, str]] = {"default": "The default variant."}
    DEFAULT_VARIANT: ClassVar[str] = "default"

    #: Set for the class of an architecture: its type and library.
    MODEL_TYPE: ClassVar[str | None] = None
    LIBRARY: ClassVar[str] = "transformers"
    #: Set for the classes of the middle end: their name in the library.
    MIDDLE_END: ClassVar[str | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Guides show `inputs` and `outputs` as plain functions, too.
        for name in ("inputs", "outputs"):
            if callable(own := cls.__dict__.get(name)) and not isinstance(own, property):
                setattr(cls, name, property(own))

    def __init__(
        self,
        config: Any,
        task: str = "feature-extraction",
        preprocessors: Iterable[Any] | None = None,
        int_dtype: str = "int64",
        float_dtype: str = "fp32",
        legacy: bool = False,
        *,
        variant: str = "default",
        interface_options: Iterable[str] = (),
    ) -> None:
        self._config = config
        self.task = native.map_from_synonym(task)
        self._preprocessors = list(preprocessors or ())
        self.int_dtype = int_dtype
        self.float_dtype = float_dtype
        self.legacy = legacy
        self._variant = variant
        self._interface_options = list(interface_options)
        self._native = self._make_native()

    # -- what a configuration describes ------------------------------------------------------------------------------

    @property
    def config(self) -> Any:
        """The configuration of the model."""
        return self._config

    @property
    def inputs(self) -> Axes:
        """Names of the inputs, in order, with the symbols of their dynamic axes."""
        return Axes(self._native.inputs)

    @property
    def outputs(self) -> Axes:
        """The same for outputs."""
        return Axes(self._native.outputs)

    @property
    def values_override(self) -> dict[str, Any] | None:
        """Accepted for compatibility: nothing of the model's configuration has to change for an export."""
        return None

    @property
    def torch_to_onnx_input_map(self) -> dict[str, str]:
        """Names of inputs that the model calls otherwise."""
        return {}

    @property
    def torch_to_onnx_output_map(self) -> dict[str, str]:
        """Names of outputs that the model calls otherwise."""
        return {}

    @property
    def variant(self) -> str:
        """The variant of the interface."""
        return self._variant

    @variant.setter
    def variant(self, value: str) -> None:
        self._variant = value
        self._native = self._make_native()

    @property
    def _normalized_config(self) -> Any:
        return self.NORMALIZED_CONFIG_CLASS(self._config)

    def generate_dummy_inputs(self, framework: str = "pt", **shapes: int) -> dict[str, Any]:
        """Dummy inputs, the same for the same sizes.

        Args:
            framework: "pt" for tensors of PyTorch, "np" for NumPy arrays.
            **shapes: Sizes: batch_size (2), sequence_length (16), num_choices (4), image_width and image_height (64),
                num_channels (3), feature_size (80), nb_max_frames (3000), audio_sequence_length (16000), ….

        Returns:
            Tensors by the names of the inputs.
        """
        return dummy_inputs(self, framework, shapes)

    def generate_dummy_inputs_for_validation(
        self, reference_model_inputs: Mapping[str, Any], onnx_input_names: list[str] | None = None
    ) -> dict[str, Any]:
        """The inputs that the file takes."""
        names = onnx_input_names or list(self.inputs)
        return {name: value for name, value in reference_model_inputs.items() if name in names}

    def rename_ambiguous_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Other names for inputs; unchanged here."""
        return inputs

    def ordered_inputs(self, model: Any = None) -> Axes:
        """The inputs in the order of the file."""
        return Axes(self.inputs)

    # -- for the package ---------------------------------------------------------------------------------------------

    def _native_task(self) -> str:
        return self.task

    def _make_native(self) -> Any:
        text = config_text(self._config)
        model_type = self.MODEL_TYPE or model_type_of(self._config)
        with preprocessors_folder(self._preprocessors) as folder:
            if self.MODEL_TYPE is None and self.MIDDLE_END is not None:
                return native.make_middle_config(
                    self.MIDDLE_END,
                    model_type,
                    text,
                    self._native_task(),
                    self.int_dtype,
                    self.float_dtype,
                    folder,
                )
            return native.make_config(
                model_type, self.LIBRARY, text, self._native_task(), self.int_dtype, self.float_dtype,
                self._variant, self._interface_options, folder,
            )  # fmt: skip

    def _overrides(self, name: str) -> bool:
        """Whether a class of a script defines this, instead of the package."""
        for cls in type(self).__mro__:
            if name in vars(cls):
                return not cls.__module__.startswith("onnxport.exporters.onnx")
        return False

    def atol_for_validation(self) -> float:
        """The tolerance for the task."""
        atol = self.ATOL_FOR_VALIDATION
        return atol.get(self.task, 1e-5) if isinstance(atol, dict) else atol

    def patches_forward(self) -> bool:
        """Whether a script has a patched forward function for this configuration."""
        return self._overrides("patch_model_for_export") or self._overrides("_MODEL_PATCHER")

    def patch_model_for_export(self, model: Any, model_kwargs: Mapping[str, Any] | None = None) -> Any:
        """A context in which the model returns what the file gives, by the names of the file."""
        return (self._MODEL_PATCHER or ModelPatcher)(self, model, model_kwargs=model_kwargs)

    def _native_config(self, model: Any = None) -> Any:
        """The configuration as the library exports it, with what the class of a script changes.

        A patched forward function needs the live model.
        """
        check_patching_specs(self)
        return self._changed_config(origins_of_outputs(self, model) if self.patches_forward() else {})

    def origins_of_inputs(self) -> dict[str, str]:
        """The definition's names of the inputs that a script renames.

        They come from `torch_to_onnx_input_map`. A class that derives from that of an architecture may also rename all
        inputs, in their order.

        Raises:
            ExportError: `unsupported` for other names of a cache.
        """
        cache = {taken for taken, *_ in self._native.states if taken}
        own = [name for name, _ in self._native.inputs if name not in cache]
        wanted = [name for name in self.inputs if name not in cache]
        given = {onnx: name for name, onnx in self.torch_to_onnx_input_map.items()}
        if self.MODEL_TYPE is not None and len(own) == len(wanted) and not set(own) & set(wanted):
            given = dict(zip(wanted, own, strict=True)) | given
        origins = {name: given[name] for name in wanted if given.get(name, name) != name}
        for name, origin in origins.items():
            if origin in cache:
                raise ExportError(
                    f"input '{name}': the inputs of the cache keep their names; expected '{origin}'",
                    "unsupported",
                )
        return {name: origin for name, origin in origins.items() if origin in own}

    def _changed_config(self, origins: Mapping[str, str] | None = None) -> Any:
        return self._native.changed(
            as_pairs(self.inputs) if self._overrides("inputs") else None,
            as_pairs(self.outputs) if origins or self._overrides("outputs") else None,
            self.atol_for_validation() if self._overrides("ATOL_FOR_VALIDATION") else None,
            self.DEFAULT_ONNX_OPSET if self._overrides("DEFAULT_ONNX_OPSET") else None,
            dict(origins or {}),
            self.origins_of_inputs() if self._overrides("inputs") else {},
        )
