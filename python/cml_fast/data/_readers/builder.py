"""From the rows of a table to pairs: which rows count, and the coding of ids as they come.

Rows arrive in batches. Only the codes of the ids of a batch are kept, and each different id once,
so that memory grows with the pairs and not with the text of the file.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import DataError
from .columns import Converted, as_ids, as_numbers, as_times, plain, shown, values_of
from .pairs import INTERACTIONS, UNUSED_RATING, PairKind, Pairs, stack_level
from .report import Tally
from .tags import Fault, TagRows

# Batches with fewer different ids wait for others.
_FEW_IDS = 1 << 20
# A message lists at most this many values.
_NAMED = 5


class Rules(NamedTuple):
    """Which rows of a table count, and what may stand in them.

    Attributes
    ----------
    min_rating : float or None
    where : dict of str to tuple of str
        For each column that filters, by role, the values to keep.
    missing : frozenset of str
        Texts that stand for no id, besides the empty one.
    tags_may_be_missing : bool
        Whether a row without an id of the second kind is counted instead of bad.
    """

    min_rating: float | None
    where: dict[str, tuple[str, ...]]
    missing: frozenset[str]
    tags_may_be_missing: bool


class IdCoder:
    """Gives each different id a number, in the order in which ids appear.

    Each batch is coded by itself at first. The codes of several batches are translated to those of
    all together when these batches have as many different ids as all before them, so that the
    work grows with the number of ids and the text of only a few batches is kept.
    """

    def __init__(self) -> None:
        self._known = pa.array([], pa.large_string())
        self._waiting: list[pa.DictionaryArray] = []
        self._n_waiting = 0
        self._codes: list[np.ndarray] = []

    def encode(self, text: pa.Array) -> None:
        """Add the ids of a batch."""
        coded = text.dictionary_encode()
        self._waiting.append(coded)
        self._n_waiting += len(coded.dictionary)
        if self._n_waiting > max(_FEW_IDS, len(self._known)):
            self._translate()

    def register(self, text: pa.Array) -> None:
        """Give ids a number without a pair."""
        self._translate()
        self._known = pa.concat_arrays([self._known, text.cast(pa.large_string())]).unique()

    def _translate(self) -> None:
        texts = [coded.dictionary.cast(pa.large_string()) for coded in self._waiting]
        together = pa.concat_arrays([self._known, *texts]).dictionary_encode()
        numbers = together.indices.to_numpy()
        begin = len(self._known)
        for coded in self._waiting:
            end = begin + len(coded.dictionary)
            table = numbers[begin:end].astype(np.int32, copy=False)
            self._codes.append(table[coded.indices.to_numpy(zero_copy_only=False)])
            begin = end
        self._known, self._waiting, self._n_waiting = together.dictionary, [], 0

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the position of each pair's id, int32, in the ids in ascending order, and these.

        They are int64 if all of them are integers as Python writes them, so that no two of them
        become one. Otherwise they are str.
        """
        self._translate()
        keys = text = self._known
        try:
            numbers = text.cast(pa.int64())
            if numbers.cast(pa.large_string()).equals(text):  # not so with leading zeros
                keys = numbers
        except pa.ArrowInvalid:
            pass
        order = pc.sort_indices(keys)
        positions = np.empty(len(keys), dtype=np.int32)
        positions[order.to_numpy()] = np.arange(len(keys), dtype=np.int32)
        codes = [positions[part] for part in self._codes]
        self._codes = []
        ids = keys.take(order).to_numpy(zero_copy_only=False)
        return np.concatenate([np.zeros(0, np.int32), *codes]), ids


class PairBuilder:
    """Collects pairs from the rows of one or more tables."""

    def __init__(self, kind: PairKind, rules: Rules, tally: Tally) -> None:
        self.kind, self.tally, self._rules = kind, tally, rules
        self.missing = rules.missing  # the formats of the files may have words of their own
        self._coders = {role: IdCoder() for role in (kind.row, kind.column)}
        self._weights: list[np.ndarray] = []
        self._times: list[np.ndarray] = []
        self._optional: set[str] | None = None  # which of weights and times there are
        self._seen: dict[str, set[str]] = {role: set() for role in rules.where}
        self._ratings = (np.inf, -np.inf)
        self._taken: Pairs | None = None
        self._names: dict[str, list[str]] = {}

    @property
    def needs_rating(self) -> bool:
        """Whether rows are chosen by their rating."""
        return self._rules.min_rating is not None

    def add(
        self,
        name: str,
        columns: dict[str, pa.Array],
        place: Callable[[int], str],
    ) -> None:
        """Add the rows of a batch.

        ``columns`` are given by role, and ``place`` says where a row is.
        """
        self._add(name, columns, place, ())

    def add_tags(self, name: str, tags: TagRows, place: Callable[[int], str]) -> None:
        """Add a batch of tags, of which several may be of one row of the file."""
        parents = tags.parents

        def place_of_row(tag: int) -> str:
            return place(int(parents[tag]))

        self._add(name, tags.columns, place_of_row, tags.faults, parents)

    def _add(
        self,
        name: str,
        columns: dict[str, pa.Array],
        place: Callable[[int], str],
        faults: Sequence[Fault],
        parents: np.ndarray | None = None,
    ) -> None:
        """Add rows that come from the rows ``parents``, ascending, of the file."""
        columns = {role: plain(column) for role, column in columns.items()}
        count = len(next(iter(columns.values())))
        try:
            keep = self._filter(columns, count, parents)
            converted = self._convert(columns)
        except DataError as error:  # of a column as a whole
            raise DataError(f"{name}: {error}") from error
        self._check_alike(name, converted)
        faults = [*faults, *self._faults(columns, converted)]
        bad = self._bad_rows(name, faults, keep, place, parents)
        without_tag = np.zeros_like(bad)
        if self._rules.tags_may_be_missing:
            without_tag = keep & ~bad & converted[self.kind.column].is_missing
        self.tally.without_tag += np.count_nonzero(without_tag)
        self.register(self.kind.row, columns[self.kind.row].filter(pa.array(without_tag)))
        keep &= ~bad & ~without_tag
        if UNUSED_RATING in converted:
            self._note_ratings(converted[UNUSED_RATING].values[keep])
        if self._rules.min_rating is not None:
            ratings = converted["rating"].values
            self._note_ratings(ratings[keep])
            low_rows = keep & (ratings < self._rules.min_rating)
            self.tally.below_min_rating += _count(low_rows, parents)
            keep &= ~low_rows
        given: dict[str, np.ndarray] = {}
        if "weight" in converted:
            weights = converted["weight"].values.astype(np.float32)
            zeros = keep & (weights == 0)
            self.tally.zero_weight += _count(zeros, parents)
            keep &= ~zeros
            given["weights"] = weights[keep]
        if "timestamp" in converted:
            times = converted["timestamp"].values[keep]
            if times.size:  # those of bad rows may be of another kind
                given["times"] = times
        self.tally.kept += _count(keep, parents)
        chosen = pa.array(keep)
        ids = {role: converted[role].text.filter(chosen) for role in self._coders}
        self._store(ids, **given)

    def _store(
        self,
        ids: dict[str, pa.Array],
        weights: np.ndarray | None = None,
        times: np.ndarray | None = None,
    ) -> None:
        """Keep the pairs of a batch: ids by role, as text."""
        for role, coder in self._coders.items():
            coder.encode(ids[role])
        if weights is not None:
            self._weights.append(weights)
        if times is not None:
            self._times.append(times)

    def _check_alike(self, name: str, converted: dict[str, Converted]) -> None:
        """Refuse files of which only some have weights, or times."""
        optional = {"weight", "timestamp"} & set(converted)
        known = self._optional = optional if self._optional is None else self._optional
        if optional != known:
            role = min(optional ^ known)
            this, others = ("a", "no") if role in optional else ("no", "a")
            raise DataError(
                f"{name} has {this} {role}, and files before it have {others} {role}; read those "
                "of one kind together"
            )

    def register(self, role: str, ids: pa.Array) -> None:
        """Give ids a row or column in the result, whether or not pairs with them follow."""
        if len(ids):
            self._coders[role].register(as_ids(role, plain(ids), self.missing).text)

    def rename(self, role: str, names: list[str]) -> None:
        """Give the ids of a role, which are 0, 1, 2, ..., these names, and keep their order."""
        self._names[role] = names

    def take(self, pairs: Pairs) -> None:
        """Take a whole matrix, which can be the only source."""
        self._taken = pairs

    def _filter(
        self, columns: dict[str, pa.Array], count: int, parents: np.ndarray | None
    ) -> np.ndarray:
        """Return which rows have a wanted value in all columns that filter."""
        keep = np.ones(count, dtype=bool)
        for role, wanted in self._rules.where.items():
            values = values_of(role.removeprefix("where "), columns[role])
            fits = pc.is_in(values, value_set=pa.array(wanted, pa.string()))
            keep &= fits.to_numpy(zero_copy_only=False)
            seen = self._seen[role]
            if len(seen) < _NAMED:
                seen.update(pc.unique(values.fill_null("")).to_pylist()[:_NAMED])
        self.tally.filtered += _count(~keep, parents)
        return keep

    def _note_ratings(self, ratings: np.ndarray) -> None:
        ratings = ratings[np.isfinite(ratings)]
        if ratings.size:
            low, high = self._ratings
            self._ratings = (min(low, ratings.min()), max(high, ratings.max()))

    def _convert(self, columns: dict[str, pa.Array]) -> dict[str, Converted]:
        converted = {}
        none = np.zeros(len(next(iter(columns.values()))), dtype=bool)
        for role, column in columns.items():
            if role in self._coders:
                converted[role] = as_ids(role, column, self.missing)
            elif role in ("rating", "weight"):
                converted[role] = as_numbers(role, column)
            elif role == UNUSED_RATING:
                converted[role] = as_numbers(role, column)._replace(is_bad=none)
            elif role == "timestamp":
                converted[role] = as_times(role, column)
        return converted

    def _faults(self, columns: dict[str, pa.Array], converted: dict[str, Converted]) -> list[Fault]:
        """Return what is wrong with which rows."""
        faults = []
        for role, values in converted.items():
            faults.append(Fault(values.is_bad, role, values.what, columns[role]))
            if role != self.kind.column or not self._rules.tags_may_be_missing:
                faults.append(Fault(values.is_missing, role, "is missing", columns[role]))
        if "weight" in converted and not self.kind.matrix.signed:
            is_negative = converted["weight"].values < 0
            faults.append(Fault(is_negative, "weight", "is negative", columns["weight"]))
        if "timestamp" in converted and self._times:
            times = converted["timestamp"].values
            if (times.dtype.kind == "M") != (self._times[0].dtype.kind == "M"):
                what = "is not of the kind of those before, a number or a date"
                of_all = np.ones(len(times), dtype=bool)
                faults.append(Fault(of_all, "timestamp", what, columns["timestamp"]))
        return faults

    def _bad_rows(
        self,
        name: str,
        faults: Sequence[Fault],
        keep: np.ndarray,
        place: Callable[[int], str],
        parents: np.ndarray | None,
    ) -> np.ndarray:
        """Return which rows are bad; the first one is named."""
        bad = np.zeros_like(keep)
        found = []
        for at, fault in enumerate(faults):
            of_kept = fault.rows & keep
            if of_kept.any():
                bad |= of_kept
                found.append((int(of_kept.argmax()), fault.label, at))
        if found:
            row, label, at = min(found)
            self.tally.bad_line(
                f"{name}: {place(row)}:",
                f"{label} {shown(faults[at].values, row)} {faults[at].what}",
                _count(bad, parents),
            )
        return bad

    def finish(self, name: str) -> Pairs:
        """Return all pairs, with ids in ascending order.

        Raises
        ------
        DataError
            If no pair is left; the message says why.
        """
        self.check(name)
        if self._taken is not None:
            return self._taken
        ids, codes = {}, {}
        for role, coder in self._coders.items():
            codes[role], ids[role] = coder.finish()
            if role in self._names:
                ids[role] = np.array(self._names[role], dtype=object)
        row, column = self.kind.row, self.kind.column
        return Pairs(
            codes[row],
            ids[row],
            codes[column],
            ids[column],
            np.concatenate(self._weights) if self._weights else None,
            np.concatenate(self._times) if self._times else None,
        )

    def check(self, name: str) -> None:
        """Raise DataError if no pair is left, and warn of rows that may count by mistake."""
        tally = self.tally
        if not tally.kept:
            raise DataError(f"{name} {self._why_nothing()}")
        if self._taken is not None:
            return
        if tally.zero_weight:
            warnings.warn(
                f"{name}: {tally.zero_weight} rows of weight 0 were dropped (a zero is the same "
                "as no row)",
                stacklevel=stack_level(),
            )
        low, high = self._ratings
        if low < high and not self.needs_rating and self.kind is INTERACTIONS:
            warnings.warn(
                f"{name}: all {tally.kept:,} rows count as likes, whatever their rating, which is "
                f"from {low:g} to {high:g}; keep the high ones with min_rating=, or say that all "
                f"count with min_rating={low:g}",
                stacklevel=stack_level(),
            )

    def _why_nothing(self) -> str:
        tally, rules = self.tally, self._rules
        if tally.below_min_rating:
            low, high = self._ratings
            return (
                f"has no rating of at least min_rating={rules.min_rating:g}; they go from "
                f"{low:g} to {high:g}"
            )
        if tally.filtered:
            begin = "where "
            wanted = {
                role.removeprefix(begin): values[0] if len(values) == 1 else list(values)
                for role, values in rules.where.items()
            }
            listed = "; ".join(
                f"{role.removeprefix(begin)} has {', '.join(sorted(values)[:_NAMED])}"
                for role, values in self._seen.items()
            )
            return f"has no row that where={wanted} keeps: {listed}"
        if tally.bad:
            return f"has only bad lines; the first: {tally.first_bad}"
        return f"has no {self.kind.matrix.entry}s"


def _count(rows: np.ndarray, parents: np.ndarray | None) -> int:
    """Return how many rows of the file these are; ``parents`` are ascending."""
    return int(np.count_nonzero(rows if parents is None else np.diff(parents[rows], prepend=-1)))
