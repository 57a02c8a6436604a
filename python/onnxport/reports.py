"""Reports on exports and validations. In notebooks they are tables."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

__all__ = ["ExportReport", "ValidationReport"]


def _table(head: list[str], rows: list[list[str]]) -> str:
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table>"


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return ""


@dataclass(frozen=True)
class ValidationReport:
    """Whether one or more files compute what their model computes.

    Attributes:
        passed: Whether every comparison is within its tolerance.
        text: The report as the program prints it.
        details: The same as data: the JSON of `onnxport validate --json`.
    """

    passed: bool
    text: str
    details: Any = field(repr=False, default=None)

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        reports = self.details if isinstance(self.details, list) else [self.details]
        rows = [
            [
                Path(report.get("file", "")).name,
                case["name"],
                output["name"],
                f"{output['max_difference']:.3g}",
                f"{output['tolerance']:.3g}",
                "✓" if output["passed"] else "x",
            ]
            for report in reports
            if isinstance(report, dict)
            for case in report.get("cases", [])
            for output in case["outputs"]
        ]
        verdict = "passed" if self.passed else "failed"
        return f"<p>Validation {verdict}</p>" + _table(
            ["file", "case", "output", "largest difference", "tolerance", ""], rows
        )


@dataclass(frozen=True)
class ExportReport:
    """What an export made.

    Attributes:
        passed: Whether validation passed; true without validation.
        model_type: Type of the model, as in config.json.
        task: The task.
        opset: The ONNX opset.
        files: The files that were written, with their sizes in bytes.
        seconds: How long the export took, without validation.
        validation: The report on validation.
        details: Everything, as `onnxport export onnx --json` prints it.
    """

    passed: bool
    model_type: str
    task: str
    opset: int
    files: dict[Path, int]
    seconds: float
    validation: ValidationReport
    details: dict[str, Any] = field(repr=False, default_factory=dict)

    @classmethod
    def from_json(cls, passed: bool, text: str, validation: str) -> ExportReport:
        """From the results of the library."""
        details = json.loads(text)
        return cls(
            passed=passed,
            model_type=details["model_type"],
            task=details["task"],
            opset=details["opset"],
            files={Path(one["path"]): one["bytes"] for one in details["files"]},
            seconds=details.get("export_seconds", 0.0),
            validation=ValidationReport(passed, validation, details.get("validation", [])),
            details=details,
        )

    def _repr_html_(self) -> str:
        head = f"<p><b>{escape(self.model_type)}</b> for {escape(self.task)}, opset {self.opset}, {self.seconds:.2f} s</p>"
        rows = [[str(path), _size(size)] for path, size in self.files.items()]
        return head + _table(["file", "size"], rows) + self.validation._repr_html_()
