"""TasksManager: which architectures and tasks there are, and how to get their models and configurations."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import ExportError
from ..json_config import model_type_of
from ..native import native
from .constructors import Constructor, make_backend_config_constructor_for_task
from .live import is_live, library_of, live_checkpoint
from .sources import CheckpointHandle, HubOptions, find_source
from .transformers_models import load_model, transformers_available

__all__ = ["TasksManager", "make_backend_config_constructor_for_task"]

_WITH_PAST = "-with-past"


class TasksManager:
    """The registry of architectures. All functions are static; the registry is that of the process."""

    #: Classes that scripts have registered, by (library, model type).
    _registered: dict[tuple[str, str], dict[str, Constructor]] = {}

    @staticmethod
    def _check_exporter(exporter: str) -> None:
        if exporter != "onnx":
            raise ExportError(f"exporter '{exporter}': expected onnx", "unsupported")

    @staticmethod
    def map_from_synonym(task: str) -> str:
        """ "sequence-classification" becomes "text-classification", and so on; other names stay."""
        return native.map_from_synonym(task)

    @staticmethod
    def synonyms_for_task(task: str) -> set[str]:
        """Other names for a task."""
        known = ("audio-ctc", "causal-lm", "ctc", "default", "embeddings", "image-feature-extraction", "masked-lm", "ner",
                 "seq2seq-lm", "sentiment-analysis", "sequence-classification", "speech2seq-lm", "summarization",
                 "text-to-speech", "translation", "vision2seq-lm", "zero-shot-classification")  # fmt: skip
        meant = native.map_from_synonym(task)
        return {name for name in known if native.map_from_synonym(name) == meant and name != task}

    @staticmethod
    def get_all_tasks() -> list[str]:
        """Every task of any architecture, without those with a past."""
        tasks = {task for _, _, all_of_type in native.definitions() for task in all_of_type}
        return sorted(task for task in tasks if not task.endswith(_WITH_PAST))

    @staticmethod
    def get_supported_model_types(library_name: str = "transformers") -> list[str]:
        """The architectures of a library."""
        return [model_type for library, model_type, _ in native.definitions() if library == library_name]

    @staticmethod
    def get_supported_model_type_for_task(task: str, exporter: str = "onnx") -> list[str]:
        """The architectures that have a task."""
        TasksManager._check_exporter(exporter)
        meant = native.map_from_synonym(task)
        return [model_type for _, model_type, tasks in native.definitions() if meant in tasks]

    @staticmethod
    def get_supported_tasks_for_model_type(
        model_type: str,
        exporter: str = "onnx",
        model_name: str | None = None,
        library_name: str | None = None,
    ) -> dict[str, Constructor]:
        """The tasks of an architecture, each with the constructor of its configuration.

        Raises:
            ExportError: `unsupported` for an architecture that is not registered; it names similar ones.
        """
        TasksManager._check_exporter(exporter)
        library = library_name or "transformers"
        tasks = native.tasks_of(model_type, library)
        own = TasksManager._registered.get((library, model_type), {})
        config_class = TasksManager._config_class(model_type, library)
        return {
            task: own.get(task) or make_backend_config_constructor_for_task(config_class, task)
            for task in tasks
        }

    @staticmethod
    def _config_class(model_type: str, library: str) -> type:
        from .onnx.model_configs import config_class

        return config_class(model_type, library)

    @staticmethod
    def get_exporter_config_constructor(
        exporter: str,
        model: Any = None,
        task: str = "feature-extraction",
        model_type: str | None = None,
        model_name: str | None = None,
        exporter_config_kwargs: dict[str, Any] | None = None,
        library_name: str | None = None,
    ) -> Constructor:
        """The constructor of the configuration for an architecture and a task: `constructor(model.config)`.

        Args:
            exporter: "onnx".
            model: A live model, or a handle; it tells architecture and library.
            task: The task, or a synonym.
            model_type: The architecture, if there is no model.
            model_name: For messages.
            exporter_config_kwargs: More arguments of the constructor.
            library_name: The library; by default that of the model.
        """
        TasksManager._check_exporter(exporter)
        if model is None and model_type is None:
            raise ExportError(
                "get_exporter_config_constructor: give a model or a model type", "invalid_argument"
            )
        library = library_name or TasksManager._library(model)
        if model_type is None:
            model_type = TasksManager._type(model, library)
        task = native.map_from_synonym(task)
        tasks = TasksManager.get_supported_tasks_for_model_type(model_type, exporter, model_name, library)
        if task not in tasks:
            raise ExportError(
                f"task '{task}' is not supported for model type '{model_type}'; supported: {', '.join(tasks)}",
                "unsupported",
            )
        constructor = tasks[task]
        return (
            functools.partial(constructor, **exporter_config_kwargs)
            if exporter_config_kwargs
            else constructor
        )

    @staticmethod
    def _library(model: Any) -> str:
        if model is None:
            return "transformers"
        if isinstance(model, CheckpointHandle):
            return model.library or native.infer_library(model.folder)
        return library_of(model)

    @staticmethod
    def _type(model: Any, library: str) -> str:
        if library in ("sentence_transformers", "timm", "diffusers"):
            from .sources import opened

            with opened(
                model, "feature-extraction" if library == "sentence_transformers" else "auto"
            ) as checkpoint:
                return checkpoint.registered_type
        return model_type_of(model.config)

    @staticmethod
    def create_register(
        backend: str = "onnx", overwrite_existing: bool = False
    ) -> Callable[..., Callable[[type], type]]:
        """A decorator that registers configuration classes.

        Args:
            backend: "onnx".
            overwrite_existing: Whether a class may take the place of one that is there.

        Returns:
            `register(model_type, *tasks, library_name="transformers")`, a decorator of classes.
        """
        TasksManager._check_exporter(backend)

        def register(
            model_type: str, *tasks: str, library_name: str = "transformers"
        ) -> Callable[[type], type]:
            def decorate(config_class: type) -> type:
                TasksManager.register(
                    model_type,
                    config_class,
                    tasks,
                    library_name=library_name,
                    overwrite_existing=overwrite_existing,
                )
                return config_class

            return decorate

        return register

    @staticmethod
    def register(
        model_type: str,
        config_class: type,
        tasks: tuple[str, ...] | list[str],
        *,
        forward: Callable[..., Any] | None = None,
        library_name: str = "transformers",
        overwrite_existing: bool = False,
        class_defaults: dict[str, Any] | None = None,
    ) -> None:
        """Registers an architecture, or other configuration classes for one that is there.

        Args:
            model_type: `model_type` of config.json.
            config_class: A class derived from one of the middle end, or from that of another architecture.
            tasks: Its tasks.
            forward: Builds the graph (`onnxport.nn`); by default the class's own `forward`, or else the
                definition of the architecture from which the class derives.
            library_name: The library.
            overwrite_existing: Whether it may take the place of an architecture that is there.
            class_defaults: Defaults of the keys of config.json.
        """
        from .registration import register

        mapped = [native.map_from_synonym(task) for task in tasks]
        register(model_type, config_class, mapped, forward, library_name, overwrite_existing, class_defaults)
        entries = TasksManager._registered.setdefault((library_name, model_type), {})
        for task in mapped:
            if overwrite_existing or task not in entries:
                entries[task] = make_backend_config_constructor_for_task(config_class, task)

    @staticmethod
    def infer_library_from_model(
        model: Any,
        subfolder: str = "",
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: Any = None,
    ) -> str:
        """ "transformers", "sentence_transformers", "timm" or "diffusers", of a live model, a folder or a Hub name."""
        if is_live(model):
            return library_of(model)
        folder, _, _ = find_source(model, HubOptions(revision, subfolder, token, cache_dir))
        return native.infer_library(folder)

    @staticmethod
    def infer_task_from_model(
        model: Any,
        subfolder: str = "",
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: Any = None,
        library_name: str | None = None,
    ) -> str:
        """The task of a live model, by its class; or that of a folder or Hub name, by its config.json."""
        if is_live(model):
            with live_checkpoint(model) as live:
                return native.infer_task(live.folder, library_name or "")
        folder = (
            model.folder
            if isinstance(model, CheckpointHandle)
            else find_source(model, HubOptions(revision, subfolder, token, cache_dir))[0]
        )
        return native.infer_task(folder, library_name or "")

    @staticmethod
    def get_model_from_task(
        task: str,
        model_name_or_path: str | Path,
        subfolder: str = "",
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: Any = None,
        framework: str | None = None,
        torch_dtype: Any = None,
        device: Any = None,
        library_name: str | None = None,
        **model_kwargs: Any,
    ) -> Any:
        """A model for a task: of transformers, if it and PyTorch are installed, else a handle of the checkpoint.

        `export` and `validate_model_outputs` take both. A handle loads nothing.
        """
        if framework not in (None, "pt"):
            raise ExportError(f"framework '{framework}': expected pt", "unsupported")
        hub = HubOptions(
            revision,
            subfolder,
            token,
            cache_dir,
            model_kwargs.pop("local_files_only", False),
            model_kwargs.pop("force_download", False),
        )
        folder, adapters, tag = find_source(model_name_or_path, hub)
        library = library_name or native.infer_library(folder)
        if task == "auto":
            task = native.infer_task(folder, library)
        if library == "transformers" and not adapters and transformers_available():
            return load_model(native.map_from_synonym(task), folder, torch_dtype, device, model_kwargs)
        return CheckpointHandle(folder, native.map_from_synonym(task), library, adapters, tag)
