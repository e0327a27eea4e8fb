"""Control groups of Linux: where the limits of this process are written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def folders_of(root: Path, controller: str) -> Iterator[tuple[int, Path]]:
    """Yield the version, 1 or 2, and the folder of each group that limits this process.

    A group has no more than each of the groups that contain it. Inside a container these may be
    out of sight; the top folder is then the container's own group.

    Parameters
    ----------
    root : path
        The folder with ``proc`` and ``sys``.
    controller : str
        What is limited, such as "cpu" or "memory".
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    mounts = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            version, top = 2, mounts
        elif controller in controllers.split(","):
            version, top = 1, mounts / controllers
            top = top if top.is_dir() else mounts / controller
        else:
            continue
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            yield version, folder
            if folder == top:
                break
