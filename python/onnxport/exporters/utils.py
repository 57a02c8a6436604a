"""Functions of old scripts that split a model before it is traced: using them is a clear error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ExportError

__all__ = [
    "get_decoder_models_for_export",
    "get_diffusion_models_for_export",
    "get_encoder_decoder_models_for_export",
    "get_sam_models_for_export",
    "get_speecht5_models_for_export",
]


def _refusal(name: str) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise ExportError(
            f"{name}: a model is not split before the export here; onnx_export_from_model(model, folder) or main_export "
            "writes all its files",
            "unsupported",
        )

    refuse.__name__ = name
    refuse.__doc__ = "Refused: see `onnx_export_from_model`."
    return refuse


get_decoder_models_for_export = _refusal("get_decoder_models_for_export")
get_diffusion_models_for_export = _refusal("get_diffusion_models_for_export")
get_encoder_decoder_models_for_export = _refusal("get_encoder_decoder_models_for_export")
get_sam_models_for_export = _refusal("get_sam_models_for_export")
get_speecht5_models_for_export = _refusal("get_speecht5_models_for_export")
