"""The console script `onnxport`: the program, in this process, with plugins in Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ["main", "own_command"]


def own_command() -> list[str]:
    """The command that starts this program again, in a process of its own."""
    return [sys.executable, "-m", "onnxport"]


def main(arguments: Sequence[str] | None = None, many_engine: object | None = None) -> int:
    """Runs a command line and returns its exit status.

    Args:
        arguments: Without the name of the program; by default those of the process.
        many_engine: Runs the exports of `export-many`; by default they are processes on this machine.
    """
    # Plugins in C++ find the library's symbols in the extension.
    sys.setdlopenflags(sys.getdlopenflags() | os.RTLD_GLOBAL)
    from .native import native
    from .plugins import load_plugin

    try:
        given = sys.argv[1:] if arguments is None else arguments
        status = native.run_program(["onnxport", *given], load_plugin, own_command(), many_engine)
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = 130
    return status


if __name__ == "__main__":
    sys.exit(main())
