"""Progress of long work: with tqdm if it is there, in notebooks too."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["progress_bar"]

Listener = Callable[[int, int], None]


def _tqdm() -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm


def _shown() -> bool:
    return "ipykernel" in sys.modules or sys.stderr.isatty()


@contextmanager
def progress_bar(label: str, enabled: bool | None = None) -> Iterator[Listener | None]:
    """A listener that draws a bar of bytes.

    Args:
        label: What is being done.
        enabled: Whether to draw; by default in notebooks and on terminals.
    """
    tqdm = _tqdm() if (_shown() if enabled is None else enabled) else None
    if tqdm is None:
        yield None
        return
    bars: list[Any] = []

    def listen(done: int, total: int) -> None:
        if not bars:
            bars.append(
                tqdm(desc=label, total=total, unit="B", unit_scale=True, unit_divisor=1024, leave=False)
            )
        bars[0].total = total
        bars[0].update(done - bars[0].n)

    try:
        yield listen
    finally:
        for bar in bars:
            bar.close()
