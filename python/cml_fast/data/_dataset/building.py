"""Makes a data set of files of any size: reads them to runs, sorts these, writes parts.

All of it happens in the folder OUT.unfinished beside OUT. A call that was interrupted goes on from
what its ``state.json`` says is there: files that were read, and parts that are complete. At the end
the folder ``whole`` in it becomes OUT in one step.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..._locks import lock_for_writing
from ..._memory import SYSTEM, free_bytes, readable
from ..._validation.matrices import MAX_OBJECTS
from ...errors import DataError
from .._readers.files import _paths, sources
from .._readers.formats import PairReader, name_of_all
from .._readers.pairs import INTERACTIONS
from .._readers.report import Tally
from .estimate import estimated_rows
from .folder import DTYPES, HEADER_BYTES, Part, sha256, sync
from .ids import IdWriter, hash_ids, id_batches
from .runs import RunWriter, check_runs, make_alike
from .sorting import Engine, Merged, Merger, item_batches, sorted_batches
from .writer import PART_PAIRS, Writer

STATE = "state.json"
# What reading takes, and what Python takes while DuckDB sorts.
OWN_BYTES = 128 << 20
# DuckDB takes a part beyond the limit that it is given.
_SHARE = 0.75
# Of the disk, for each row: the runs, what sorting spills, and the result.
_COPIED, _SPILLED, _RESULT = 8, 24, 8


def build(
    source: Any, out: Path, options: Mapping[str, Any], on_bad_lines: str, n_bytes: int, show: bool
) -> None:
    """Make the data set ``out`` of files, see `Dataset.build`."""
    if out.exists():
        raise FileExistsError(f"{out} exists: give another path, or remove it")
    files = _files(source)
    work = out.with_name(f"{out.name}.unfinished")
    try:
        with _locked(out, work):
            build = _Build(work, files, dict(options), on_bad_lines, n_bytes, show)
            try:
                build.run(out)
            except BaseException:
                if not build.state["runs"]:
                    shutil.rmtree(work, ignore_errors=True)  # nothing to go on from
                raise
            shutil.rmtree(work)
    except OSError as error:
        if error.filename is None or not str(error.filename).startswith(str(work)):
            raise
        raise OSError(
            error.errno, f"{error.strerror}; the same call goes on from what is there", str(work)
        ) from error


@contextlib.contextmanager
def _locked(out: Path, work: Path) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock_for_writing(work, wait=False))
        except BlockingIOError:
            raise FileExistsError(
                f"{out} is being prepared by another process: wait until it has ended, or give "
                "another path"
            ) from None
        yield


def _files(source: Any) -> list[Path]:
    """Return the files of a path, a folder, a pattern or a list of them."""
    given = source if isinstance(source, list | tuple) else [source]
    found: list[Path] = []
    for one in given:
        if not isinstance(one, str | os.PathLike) or "://" in os.fspath(one):
            raise TypeError(
                f"source must be the path of a file, or several of them, got {one!r}; download "
                "what is on another machine first"
            )
        for path, columns in _paths(os.fspath(one)):
            if columns:
                raise ValueError(
                    f"{path} has columns in the names of its folders, which are not read here: "
                    "give its files as a pattern"
                )
            found.append(Path(path).absolute())
    if not found:
        raise ValueError("source must be at least one file, got an empty list")
    return found


def _fingerprint(path: Path) -> list[Any]:
    found = path.stat()
    return [str(path), found.st_size, found.st_mtime_ns]


class _Build:
    def __init__(
        self,
        work: Path,
        files: list[Path],
        options: dict[str, Any],
        on_bad_lines: str,
        n_bytes: int,
        show: bool,
    ) -> None:
        self._work, self._files, self._options, self._show = work, files, options, show
        self._on_bad_lines = on_bad_lines
        free = free_bytes(SYSTEM)
        n_bytes = n_bytes if free is None else max(2 * OWN_BYTES, min(n_bytes, free))
        self._limit = int((n_bytes - OWN_BYTES) * _SHARE)
        settings = json.loads(json.dumps({**options, "on_bad_lines": on_bad_lines}, default=str))
        fresh: dict[str, Any] = {"settings": settings, "read": [], "runs": [], "parts": []}
        fresh |= {"counters": None, "is_read": False, "items": None}
        self.state = self._restored(fresh)

    def _restored(self, fresh: dict[str, Any]) -> dict[str, Any]:
        path = self._work / STATE
        try:
            found = json.loads(path.read_bytes())
            is_ours = fresh.keys() <= found.keys()
        except FileNotFoundError:
            if any(self._work.iterdir()) and not (self._work / "runs").is_dir():
                raise FileExistsError(
                    f"{self._work} holds something else: move it away, or give another path"
                ) from None
            return fresh
        except (ValueError, AttributeError):
            is_ours = False
        if not is_ours:
            raise DataError(f"{path} is damaged: remove {self._work} to begin anew")
        given, known = fresh["settings"], found["settings"]
        for name in {**given, **known}:
            if known.get(name) != given.get(name):
                raise FileExistsError(
                    f"{self._work} was begun with another {name}: remove it to begin anew, or "
                    "give the same arguments to go on"
                )
        now = [_fingerprint(file) for file in self._files]
        for at, before in enumerate(found["read"]):
            if now[at : at + 1] != [before]:
                raise DataError(
                    f"{before[0]} has changed since it was read, or is not in source any more: "
                    f"remove {self._work} to begin anew"
                )
        if found["is_read"] and len(now) != len(found["read"]):
            raise DataError(
                f"source has more files than when it was read: remove {self._work} to begin anew"
            )
        return dict(found)

    def _save(self) -> None:
        temporary = self._work / f"{STATE}.tmp"
        with temporary.open("w") as file:
            json.dump(self.state, file, default=lambda number: number.item())
            sync(file)
        os.replace(temporary, self._work / STATE)

    def run(self, out: Path) -> None:
        runs, spill, whole = (self._work / name for name in ("runs", "spill", "whole"))
        shutil.rmtree(spill, ignore_errors=True)
        for folder in (runs, spill, whole):
            folder.mkdir(exist_ok=True)
        engine = Engine(self._limit, spill)  # first: without DuckDB nothing is read
        try:
            self._check_disk_for_all()
            self._read(runs)
            self._check_disk()
            paths = [runs / run["file"] for run in self.state["runs"]]
            check_runs(runs, self.state["runs"])
            self._number_items(engine, paths, whole / "item_ids.parquet")
            self._sort(engine, paths, whole)
        finally:
            engine.close()
        os.replace(whole, out)

    def _read(self, folder: Path) -> None:
        """Write the files that are not read yet to runs."""
        state, tally = self.state, Tally(self._on_bad_lines)
        if state["is_read"]:
            return
        options = {name: value for name, value in self._options.items() if name != "format"}
        reader = PairReader(INTERACTIONS, self._options["format"], options, tally, RunWriter)
        builder: Any = reader.builder
        builder.folder = folder
        if state["runs"]:
            builder.restore(state["runs"], state["counters"])
        try:
            for path in self._shown(self._files[len(state["read"]) :], "reading", "file"):
                before = _fingerprint(path)
                for one in sources(str(path)):
                    reader.read(one)
                builder.end_run()
                if _fingerprint(path) != before:
                    raise DataError(f"{path} changed while it was read: give it when it is whole")
                state["read"].append(before)
                state["runs"], state["counters"] = list(builder.runs), builder.counters
                self._save()
        finally:
            builder.close()
        builder.check(name_of_all([str(path) for path in self._files]))
        state["runs"], state["is_read"] = make_alike(folder, state["runs"]), True
        self._save()

    def _check_disk_for_all(self) -> None:
        """Refuse to read what will probably have no room on the disk."""
        if self.state["runs"] or {"min_rating", "where"} & self._options.keys():
            return  # some are read already, or nobody knows how many rows will be kept
        n_rows = estimated_rows(self._files)
        needed = n_rows * (_COPIED + _SPILLED + _RESULT)
        free = shutil.disk_usage(self._work).free
        if needed > free:
            raise OSError(
                f"{self._work} would need about {readable(needed)} of disk, and {readable(free)} "
                f"are free (source has about {n_rows:,} rows by the sizes of its files, at "
                f"{needed // n_rows} bytes each): make room, or prepare on another disk"
            )

    def _check_disk(self) -> None:
        """Refuse to sort where the disk has no room for it."""
        n_rows = sum(run["rows"] for run in self.state["runs"])
        needed, free = n_rows * (_SPILLED + _RESULT), shutil.disk_usage(self._work).free
        if needed > free:
            raise OSError(
                f"{self._work} needs {readable(needed)} of disk to sort {n_rows:,} rows, and "
                f"{readable(free)} are free: make room, and the same call goes on, or prepare on "
                "another disk"
            )

    def _number_items(self, engine: Engine, runs: list[Path], path: Path) -> None:
        """Write the ids of the items in the order of their rows."""
        known = self.state["items"]
        if known is not None and path.is_file() and hash_ids(path) == known["sha256"]:
            return
        self.state |= {"parts": []}
        count, digest = _write_ids(path, item_batches(engine, runs))
        self.state["items"] = {"count": count, "sha256": digest}
        self._save()

    def _sort(self, engine: Engine, runs: list[Path], whole: Path) -> None:
        """Write the parts that are not there yet, the ids of the users, and the manifest."""
        state = self.state
        parts = [Part(tuple(p["users"]), tuple(p["pairs"]), p["sha256"]) for p in state["parts"]]
        parts = parts[: _n_right(whole, parts)]
        state["parts"] = state["parts"][: len(parts)]
        is_weighted = "weight" in (state["counters"]["optional"] or ())
        writer = Writer(whole, is_weighted, parts)
        filler = _Filler(self, writer)
        try:
            last = self.ids_of(len(parts) - 1) if parts else None
            batches = sorted_batches(engine, runs, whole / "item_ids.parquet", last, is_weighted)
            merger = Merger()
            for batch in self._shown(batches, "sorting", "batch"):
                if len(batch):
                    filler.add(merger.add(batch))
            filler.finish(*merger.rest())
            users = (ids for at in range(len(writer.parts)) for ids in id_batches(self.ids_of(at)))
            _, digest = _write_ids(whole / "user_ids.parquet", users)
            sums = {"user_ids": digest, "item_ids": state["items"]["sha256"]}
            writer.finish(state["items"]["count"], sums)
        finally:
            filler.close()
            writer.close()

    def ids_of(self, part: int) -> Path:
        """Return the file with the ids of the users of a part."""
        return self._work / f"users-{part:06d}.parquet"

    def keep(self, parts: list[Part]) -> None:
        """Remember which parts are complete."""
        self.state["parts"] = [part._asdict() for part in parts]
        self._save()

    def _shown(self, values: Any, what: str, unit: str) -> Iterator[Any]:
        if not self._show:
            yield from values
            return
        from tqdm import tqdm  # only now, because it is slow to load

        yield from tqdm(values, desc=what, unit=unit)


class _Filler:
    """Divides sorted pairs into parts, which end with a user."""

    def __init__(self, build: _Build, writer: Writer) -> None:
        self._build, self._writer = build, writer
        self._ids: IdWriter | None = None
        self._open: int | None = None  # the pairs so far of the user that is not ended

    def add(self, merged: Merged) -> None:
        position, begun, starts = 0, 0, merged.starts
        while True:
            sizes = starts[begun:] - position + self._writer.pairs_in_part
            cut = begun + int(np.searchsorted(sizes, PART_PAIRS))
            end = int(starts[cut]) if cut < len(starts) else len(merged.items)
            weights = None if merged.weights is None else merged.weights[position:end]
            self._pairs(merged.items[position:end], weights)
            edges = starts[begun:cut]
            if self._open is not None:
                edges = np.append(position - self._open, edges)
            if cut > begun:
                self._append_ids(merged.users[begun:cut])
            if cut < len(starts):
                self._writer.add_users(np.diff(np.append(edges, end)))
                self._open = None
                self._end_part()
                position, begun = end, cut
                continue
            self._writer.add_users(np.diff(edges))
            self._open = None if not len(edges) else end - int(edges[-1])
            return

    def finish(self, items: np.ndarray, weights: np.ndarray) -> None:
        """Add the last pair, and end the last part."""
        self._pairs(items, weights)
        if self._open is not None:
            self._writer.add_users(np.array([self._open + len(items)]))
            self._end_part()

    def close(self) -> None:
        """Give up a part that is not ended."""
        if self._ids is not None:
            self._ids.close()

    def _pairs(self, items: np.ndarray, weights: np.ndarray | None) -> None:
        with np.errstate(over="ignore"):
            values = None if weights is None else weights.astype(np.float32)
        if values is not None and not np.isfinite(values).all():
            raise DataError("the weights of duplicates add up to more than float32 holds")
        self._writer.add_pairs(items, values)

    def _append_ids(self, ids: Any) -> None:
        if self._ids is None:
            self._ids = IdWriter(self._build.ids_of(len(self._writer.parts)), ids.type)
        self._ids.append(ids)
        if self._writer.n_users + len(ids) > MAX_OBJECTS:
            raise DataError(f"source has more than {MAX_OBJECTS:,} users, which row numbers allow")

    def _end_part(self) -> None:
        if self._ids is not None:
            self._ids.finish()
            self._ids = None
            self._writer.end_part()
            self._build.keep(self._writer.parts)


def _write_ids(path: Path, batches: Iterator[Any]) -> tuple[int, str]:
    """Write ids, and return how many there are and their hash."""
    writer = None
    try:
        for ids in batches:
            writer = writer or IdWriter(path, ids.type)
            writer.append(ids)
            if writer.count > MAX_OBJECTS:
                raise DataError(
                    f"source has more than {MAX_OBJECTS:,} items, which row numbers allow"
                )
        if writer is None:
            raise DataError("source has no ids")
        return writer.count, writer.finish()
    finally:
        if writer is not None:
            writer.close()


def _n_right(folder: Path, parts: list[Part]) -> int:
    """Return how many of the parts, from the first on, are there as they were written."""
    for number, part in enumerate(parts):
        for name, expected in part.sha256.items():
            begin, end = part.entries(name)
            dtype = DTYPES[name]
            try:
                whole = np.memmap(folder / f"{name}.npy", dtype, "r", HEADER_BYTES, (end,))
            except (OSError, ValueError):
                return number
            if sha256(whole[begin:]) != expected:
                return number
    return len(parts)
