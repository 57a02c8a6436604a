"""The one exception of the package."""

from __future__ import annotations

__all__ = ["ExportError"]

#: Exit status of the program for each code.
_EXIT_STATUS = {
    "invalid_argument": 2,
    "bad_config": 3,
    "bad_checkpoint": 4,
    "unsupported": 5,
    "shape": 6,
    "io": 7,
    "validation_failed": 8,
    "runtime": 9,
    "internal": 10,
}


class ExportError(RuntimeError):
    """A failure, with the text that the program `onnxport` prints for it.

    Attributes:
        code: The kind of problem: `invalid_argument`, `bad_config`, `bad_checkpoint`, `unsupported`, `shape`,
            `io`, `validation_failed`, `runtime` or `internal`.
        exit_status: The exit status of the program for this code.
    """

    def __init__(self, message: str, code: str = "internal") -> None:
        super().__init__(message)
        self.code = code

    @property
    def exit_status(self) -> int:
        return _EXIT_STATUS.get(self.code, 10)

    def __reduce__(self) -> tuple[type[ExportError], tuple[str, str]]:
        return type(self), (str(self), self.code)
