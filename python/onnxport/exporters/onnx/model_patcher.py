"""Names of Optimum's tracing, which have no meaning here: using them is a clear error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...errors import ExportError

__all__ = ["ModelPatcher", "PatchingSpec"]


class ModelPatcher:
    """Patches modules of PyTorch while they are traced. Nothing is traced here."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise ExportError(
            f"{type(self).__name__} patches modules of PyTorch, which changes what is traced; nothing is traced here: "
            "write the change as a definition with onnxport.nn",
            "unsupported",
        )


@dataclass
class PatchingSpec:
    """One such patch. A configuration with PATCHING_SPECS is refused when it is exported."""

    o: Any
    name: str
    custom_op: Any = None
    orig_op: Any = None
    op_wrapper: Any = None
