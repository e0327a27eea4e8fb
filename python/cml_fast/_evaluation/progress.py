"""The progress of an evaluation, as it was asked for."""

from __future__ import annotations

from typing import Any

from ..metrics.measuring import Progress


class Reporting:
    """The progress that was asked for: a bar, a function, or none."""

    def __init__(self, progress: bool | Progress) -> None:
        if not isinstance(progress, bool) and not callable(progress):
            raise TypeError(f"progress must be True, False or a function, got {progress!r}")
        self._progress = progress
        self._bar: Any = None

    def __enter__(self) -> Progress | None:
        if not isinstance(self._progress, bool):
            return self._progress
        return self._show if self._progress else None

    def __exit__(self, *raised: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def _show(self, done: int, total: int) -> None:
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit="user", desc="evaluating")
        self._bar.update(done - self._bar.n)
