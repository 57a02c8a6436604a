"""Arguments of Optimum's functions as options of the library."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

from ...errors import ExportError

__all__ = ["SHAPES", "config_values", "optimization", "shape_options", "without_effect"]

#: Names of sizes.
SHAPES = (
    "batch_size", "sequence_length", "num_choices", "width", "height", "num_channels", "feature_size", "nb_max_frames",
    "audio_sequence_length", "point_batch_size", "nb_points_per_image", "visual_seq_length", "past_sequence_length",
    "decoder_sequence_length", "text_batch_size", "image_width", "image_height",
)  # fmt: skip


def shape_options(shapes: Mapping[str, Any] | None) -> dict[str, int]:
    """Sizes of dummy inputs.

    Raises:
        TypeError: For a name that is no size.
    """
    given = {name: value for name, value in (shapes or {}).items() if value is not None}
    for name in given:
        if name not in SHAPES:
            raise TypeError(f"unexpected argument {name!r}; sizes are {', '.join(SHAPES)}")
    return given


def optimization(level: str | None, dtype: str) -> dict[str, Any]:
    """Optimum's levels O1 to O4, as on the command line."""
    if level is None:
        return {"dtype": dtype}
    if level not in ("O1", "O2", "O3", "O4"):
        raise ExportError(f"--optimize {level}: expected O1, O2, O3 or O4", "invalid_argument")
    if level == "O4" and dtype == "bf16":
        raise ExportError("--optimize O4 exports in fp16, got --dtype bf16", "invalid_argument")
    return {
        "target": "any" if level == "O1" else "ort",
        "approximate_gelu": level == "O3",
        "dtype": "fp16" if level == "O4" else dtype,
    }


def config_values(
    model_kwargs: Mapping[str, Any] | None, pad_token_id: int | None = None
) -> tuple[dict[str, str], list[str]]:
    """Keys of config.json that arguments change, as JSON; and options of the interface.

    Raises:
        ExportError: `unsupported` for arguments that would change the class of a traced model.
    """
    values: dict[str, str] = {}
    interface: list[str] = []
    if pad_token_id is not None:
        values["pad_token_id"] = json.dumps(pad_token_id)
    for key, value in (model_kwargs or {}).items():
        if key == "attn_implementation" and value in ("eager", "sdpa"):
            values["_attn_implementation"] = json.dumps(value)
        elif key == "vocoder" and isinstance(value, str):
            values["vocoder"] = json.dumps(value)
        elif key == "output_attentions" and isinstance(value, bool):
            interface += ["output-cross-attentions"] if value else []
        else:
            raise ExportError(
                f"model_kwargs: '{key}': {value!r} is not built; known: attn_implementation 'eager' or 'sdpa', "
                "output_attentions, vocoder",
                "unsupported",
            )
    return values, interface


def without_effect(**arguments: tuple[Any, Any, str]) -> None:
    """Warns about arguments that have no effect here: each (value, default, reason)."""
    for name, (value, default, reason) in arguments.items():
        if value != default:
            warnings.warn(f"{name}={value!r} has no effect: {reason}", stacklevel=4)
