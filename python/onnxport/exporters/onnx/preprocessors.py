"""Processors as files: the library reads the size of images from preprocessor_config.json."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["preprocessors_folder"]


def _settings(part: Any) -> dict[str, Any] | None:
    part = getattr(part, "image_processor", None) or getattr(part, "feature_extractor", None) or part
    if not hasattr(part, "to_dict") or not (hasattr(part, "size") or hasattr(part, "crop_size")):
        return None
    return part.to_dict()


@contextmanager
def preprocessors_folder(preprocessors: Sequence[Any]) -> Iterator[Path | None]:
    """A folder with preprocessor_config.json, as long as the context lasts; None if no processor has a size."""
    for part in preprocessors:
        if isinstance(part, (str, Path)):
            yield Path(part)
            return
        if settings := _settings(part):
            with tempfile.TemporaryDirectory(prefix="onnxport-") as folder:
                (Path(folder) / "preprocessor_config.json").write_text(
                    json.dumps(settings, default=str), encoding="utf-8"
                )
                yield Path(folder)
            return
    yield None
