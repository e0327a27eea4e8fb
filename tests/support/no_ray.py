"""Ray, as far as the class of workers needs it."""

from __future__ import annotations

from typing import Any


class NoRay:
    """An actor is an object, and its methods are called."""

    @staticmethod
    def remote(**options: Any) -> Any:
        return lambda actor: actor

    method = remote
