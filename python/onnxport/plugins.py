"""Plugins in Python: files that register architectures."""

from __future__ import annotations

import runpy
from pathlib import Path

from .errors import ExportError

__all__ = ["load_plugin"]


def load_plugin(path: str | Path) -> None:
    """Runs a file that registers architectures with `TasksManager.register` or `create_register`.

    Raises:
        ExportError: `invalid_argument` if the file is missing or raises an exception.
    """
    path = Path(path)
    if not path.is_file():
        raise ExportError(f"--plugin {path}: no such file", "invalid_argument")
    try:
        runpy.run_path(str(path), run_name="onnxport_plugin")
    except ExportError:
        raise
    except Exception as error:
        raise ExportError(f"--plugin {path}: {type(error).__name__}: {error}", "invalid_argument") from error
