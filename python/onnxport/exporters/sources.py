"""Models of any kind as checkpoints of the library: live ones, handles, folders and Hub names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..json_config import CheckpointConfig
from ..native import native
from ..progress import progress_bar
from .live import is_live, live_checkpoint

__all__ = ["CheckpointHandle", "HubOptions", "find_source", "opened", "opened_folder"]


@dataclass(frozen=True)
class HubOptions:
    """Where to get a model that is no local folder. The names are those of transformers."""

    revision: str | None = None
    subfolder: str = ""
    token: str | bool | None = None
    cache_dir: str | Path | None = None
    local_files_only: bool = False
    force_download: bool = False

    def as_options(self) -> dict[str, Any]:
        """For the library."""
        return {
            "revision": self.revision or "",
            "subfolder": self.subfolder or "",
            "token": self.token if isinstance(self.token, str) else "",
            "cache_dir": Path(self.cache_dir or ""),
            "local_files_only": self.local_files_only,
            "force_download": self.force_download,
        }


def find_source(
    model: str | Path, hub: HubOptions | None = None, adapters: tuple[str | Path, ...] = ()
) -> tuple[Path, list[Path], str]:
    """The folder of a model, those of its adapters, and what the Hub calls its task. Downloads what is missing."""
    with progress_bar("downloading") as listen:
        return native.find_source(
            Path(model),
            [Path(one) for one in adapters],
            on_progress=listen,
            on_notice=None,
            **(hub or HubOptions()).as_options(),
        )


@dataclass
class CheckpointHandle:
    """A checkpoint that is not loaded: what `TasksManager.get_model_from_task` gives without transformers.

    Attributes:
        folder: The folder of config.json and the weights.
        task: The task for which it was asked.
        library: "transformers", "sentence_transformers", "timm", "diffusers", or empty: inferred.
        adapters: Folders of LoRA adapters that are merged into the weights.
    """

    folder: Path
    task: str = "auto"
    library: str = ""
    adapters: list[Path] = field(default_factory=list)
    pipeline_tag: str = ""

    @property
    def config(self) -> CheckpointConfig:
        """config.json, with its keys as attributes."""
        return CheckpointConfig.from_text((self.folder / "config.json").read_text(encoding="utf-8"))

    @property
    def name_or_path(self) -> str:
        """The folder, as transformers' models call it."""
        return str(self.folder)


@contextmanager
def opened_folder(model: Any, hub: HubOptions | None = None) -> Iterator[CheckpointHandle]:
    """A folder that the library can open, as long as the context lasts: for a live model, one in front of it."""
    if isinstance(model, CheckpointHandle):
        yield model
    elif isinstance(model, (str, Path)):
        folder, adapters, tag = find_source(model, hub)
        yield CheckpointHandle(folder, adapters=adapters, pipeline_tag=tag)
    elif is_live(model):
        with live_checkpoint(model) as live:
            yield CheckpointHandle(live.folder, adapters=live.adapters)
    else:
        raise TypeError(
            "expected a model of transformers, sentence-transformers, timm or diffusers, a folder, or the name of a "
            f"repository, got {type(model).__name__}"
        )


@contextmanager
def opened(
    model: Any,
    task: str = "auto",
    library: str = "",
    config_values: dict[str, Any] | None = None,
    hub: HubOptions | None = None,
) -> Iterator[Any]:
    """The model as the library's `Model`, opened for a task."""
    with opened_folder(model, hub) as handle:
        yield native.open_model(
            task,
            handle.folder,
            library or handle.library,
            handle.adapters,
            handle.pipeline_tag,
            {key: json.dumps(value) for key, value in (config_values or {}).items()},
        )
