"""Quantization of exported files."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from ..errors import ExportError
from ..native import native
from ..progress import progress_bar
from .configuration import QuantizationConfig

__all__ = ["ORTQuantizer"]


def folder_of(model_or_path: Any) -> Path:
    """The folder of exported files, also of an ORTModel."""
    if isinstance(model_or_path, (str, Path)):
        return Path(model_or_path)
    for name in ("model_save_dir", "model_path"):
        if place := getattr(model_or_path, name, None):
            path = Path(place)
            return path if path.is_dir() else path.parent
    raise TypeError(f"expected a folder or an ORTModel, got {type(model_or_path).__name__}")


class ORTQuantizer:
    """Quantizes a file dynamically: weights become 8-bit integers. Bytes and names are those of Optimum's.

    Args:
        onnx_model_path: The file.
    """

    def __init__(self, onnx_model_path: Path) -> None:
        self.onnx_model_path = onnx_model_path

    @classmethod
    def from_pretrained(cls, model_or_path: Any, file_name: str | None = None) -> ORTQuantizer:
        """For the file in a folder, or of an ORTModel.

        Raises:
            ExportError: `invalid_argument` if there are several files and none is named; `io` if there is none.
        """
        folder = folder_of(model_or_path)
        if folder.is_file():
            return cls(folder)
        if file_name is not None:
            if not (folder / file_name).is_file():
                raise ExportError(f"'{folder}' has no file '{file_name}'", "io")
            return cls(folder / file_name)
        files = sorted(folder.glob("*.onnx"))
        if not files:
            raise ExportError(f"'{folder}' has no .onnx file", "io")
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            raise ExportError(
                f"'{folder}' has several .onnx files ({names}): give a file_name", "invalid_argument"
            )
        return cls(files[0])

    def quantize(
        self,
        quantization_config: QuantizationConfig,
        save_dir: str | Path,
        file_suffix: str | None = "quantized",
        calibration_tensors_range: Any = None,
        use_external_data_format: bool = False,
        preprocessor: Any = None,
        *,
        progress: bool | None = None,
    ) -> Path:
        """Writes `<stem>_<suffix>.onnx`, ort_config.json, and copies of configuration and tokenizer.

        Args:
            quantization_config: The settings.
            save_dir: The folder to write to.
            file_suffix: Of the name; None or empty: the name stays.
            use_external_data_format: Weights beside the model, whatever its size.

        Returns:
            The folder.
        """
        if calibration_tensors_range is not None or preprocessor is not None:
            raise ExportError("calibration is for static quantization, which is not supported", "unsupported")
        folder = Path(save_dir)
        in_place = folder.resolve() == self.onnx_model_path.parent.resolve()
        with tempfile.TemporaryDirectory(prefix="onnxport-", dir=self._nearest(folder)) as temporary:
            target = Path(temporary) if in_place else folder
            with progress_bar("writing weights", progress) as listen:
                made = native.quantize(
                    self.onnx_model_path,
                    target,
                    quantization_config.as_settings(),
                    use_external_data_format,
                    listen,
                    None,
                )
            for _, path, *_ in made:
                self._place(Path(path), folder, file_suffix, use_external_data_format)
        return folder

    @staticmethod
    def _nearest(folder: Path) -> Path:
        folder = folder.resolve()
        while not folder.is_dir():
            folder = folder.parent
        return folder

    def _place(self, path: Path, folder: Path, suffix: str | None, external: bool) -> None:
        name = self.onnx_model_path.stem + (f"_{suffix}" if suffix else "") + ".onnx"
        if path == folder / name:
            return
        data = path.with_name(path.name + "_data")
        if name != path.name and data.exists():
            raise ExportError("a file with external data keeps the suffix 'quantized'", "unsupported")
        folder.mkdir(parents=True, exist_ok=True)
        for source in (data, path):
            if source.exists():
                shutil.move(source, folder / (name if source == path else source.name))
