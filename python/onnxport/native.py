"""The C++ library, ready for use. Modules import `native` from here instead of `_native`."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from . import _native as native

__all__ = ["native"]


def _find_onnxruntime() -> None:
    """Tells the library where the package onnxruntime has its shared library, without importing it."""
    if os.environ.get("ONNXRUNTIME_ROOT") or os.environ.get("ONNXPORT_ORT_LIBRARY"):
        return
    spec = find_spec("onnxruntime")
    if spec is None or not spec.submodule_search_locations:
        return
    for folder in spec.submodule_search_locations:
        libraries = sorted((Path(folder) / "capi").glob("libonnxruntime.so*"))
        if libraries:
            native.set_onnxruntime(str(libraries[0]))
            return


_find_onnxruntime()
