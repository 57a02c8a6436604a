"""Optimization of exported models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import ExportError
from ..native import native
from .configuration import OptimizationConfig
from .quantization import folder_of

__all__ = ["ORTOptimizer"]


class ORTOptimizer:
    """Makes the optimized form of an exported model: exports it again, from its checkpoint.

    An exported file does not say any more which of its nodes are an attention or a norm, so a file is not changed.

    Args:
        folder: The folder of the exported files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def from_pretrained(cls, model_or_path: Any, file_names: list[str] | None = None) -> ORTOptimizer:
        """For a folder, or an ORTModel."""
        return cls(folder_of(model_or_path))

    def optimize(
        self,
        optimization_config: OptimizationConfig,
        save_dir: str | Path,
        file_suffix: str | None = "optimized",
        one_external_file: bool = True,
        *,
        model: str | Path | None = None,
    ) -> Path:
        """Exports the optimized model.

        Args:
            optimization_config: The settings.
            save_dir: The folder to write to.
            file_suffix: Of the names of the files.
            model: The checkpoint; by default `_name_or_path` of config.json.

        Returns:
            The folder.

        Raises:
            ExportError: `unsupported` with the command to run if the checkpoint is not known.
        """
        from ..exporters.onnx import main_export

        config = self.folder / "config.json"
        known = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
        source = model or known.get("_name_or_path")
        if not source:
            command = native.optimizing_export_command(self.folder, Path(save_dir), optimization_config.level)
            raise ExportError(
                "an exported file does not say any more which of its nodes are an attention or a norm, so it cannot be "
                f"fused reliably: export the optimized model from the checkpoint:\n  {command}",
                "unsupported",
            )
        main_export(source, save_dir, optimize=optimization_config.level, do_validation=False)
        if file_suffix:
            for file in Path(save_dir).glob("*.onnx"):
                if not file.stem.endswith(f"_{file_suffix}") and not Path(f"{file}_data").exists():
                    file.rename(file.with_stem(f"{file.stem}_{file_suffix}"))
        return Path(save_dir)
