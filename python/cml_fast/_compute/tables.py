"""Tables of vectors and AdaGrad accumulators in the memory of one device."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from .. import _core

HUGE_PAGE_FLOATS = (2 << 20) // 4


# --- tables -----------------------------------------------------------------------------------


def _aligned_zeros(shape: tuple[int, int]) -> np.ndarray:
    """float32 zeros that begin on a cache line, large ones on a huge page.

    NumPy asks Linux for huge pages, which hold a table in fewer entries of the address cache; the
    system gives whole ones only.
    """
    size = shape[0] * shape[1]
    alignment = HUGE_PAGE_FLOATS if size >= 2 * HUGE_PAGE_FLOATS else _core.ROW_ALIGNMENT
    buffer = np.zeros(size + alignment, dtype=np.float32)
    offset = -(buffer.ctypes.data // buffer.itemsize) % alignment
    return buffer[offset : offset + size].reshape(shape)


def _width(n_dims: int) -> int:
    """Return how many floats a row of so many dimensions takes."""
    return -(-n_dims // _core.ROW_ALIGNMENT) * _core.ROW_ALIGNMENT


def random_vectors(
    shape: tuple[int, int], max_norm: float, generator: np.random.Generator
) -> np.ndarray:
    """Normally distributed rows of expected squared norm max_norm^2, pulled into the ball."""
    rows = generator.standard_normal(shape, dtype=np.float32)
    rows *= np.float32(max_norm / np.sqrt(shape[1]))
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    rows *= np.float32(max_norm) / np.maximum(norms, np.float32(max_norm))
    return rows


class Tables:
    """Vectors and AdaGrad accumulators of users and items, in the memory of one device.

    Each is float32, (rows, n_dims rounded up to 16); what lies beyond n_dims is zero. With one
    accumulator for each row (``rowwise``), those are (rows, 1).
    """

    def __init__(
        self,
        device: str,
        n_dims: int,
        users: np.ndarray,
        items: np.ndarray,
        user_accumulators: np.ndarray | None = None,
        item_accumulators: np.ndarray | None = None,
        *,
        rowwise: bool = False,
    ) -> None:
        """Copy arrays of n_dims columns; accumulators are zero by default."""
        self.device = device
        self.n_dims = n_dims
        self.rowwise = rowwise
        inputs = {
            "users": users,
            "user_accumulators": user_accumulators,
            "items": items,
            "item_accumulators": item_accumulators,
        }
        self.arrays = {}
        for name, values in inputs.items():
            if values is None:
                vectors = users if name == "user_accumulators" else items
                values = np.zeros((len(vectors), self._columns_of(name)), dtype=np.float32)
            self.arrays[name] = self.padded(
                values, padding=not (rowwise and name.endswith("_accumulators"))
            )

    @classmethod
    def random(
        cls,
        device: str,
        shape: tuple[int, int],
        n_dims: int,
        max_norm: float,
        generator: np.random.Generator,
        *,
        rowwise: bool = False,
    ) -> Tables:
        """Random vectors in the ball of radius ``max_norm``."""
        users, items = (random_vectors((rows, n_dims), max_norm, generator) for rows in shape)
        return cls(device, n_dims, users, items, rowwise=rowwise)

    @staticmethod
    def n_bytes(shape: tuple[int, int], n_dims: int, *, rowwise: bool) -> int:
        """Return how much memory the tables of so many users and items take."""
        columns = _width(n_dims) + (1 if rowwise else _width(n_dims))
        return sum(shape) * columns * np.dtype(np.float32).itemsize

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.arrays["users"]), len(self.arrays["items"])

    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """Users and items as NumPy arrays of n_dims columns (copies)."""
        return self._columns("users"), self._columns("items")

    def to_numpy(self) -> dict[str, np.ndarray]:
        """All four tables as NumPy arrays of n_dims columns (copies), by name."""
        return {name: self._columns(name) for name in self.arrays}

    def on(self, device: str) -> Tables:
        """These tables if they are on ``device``, otherwise a copy there."""
        if device == self.device:
            return self
        return Tables(device, self.n_dims, **self.to_numpy(), rowwise=self.rowwise)

    def with_users(self, users: np.ndarray) -> Tables:
        """These items, which are shared and not copied, with other users."""
        columns = self._columns_of("user_accumulators")
        accumulators = np.zeros((len(users), columns), dtype=np.float32)
        arrays = {
            **self.arrays,
            "users": self.padded(users),
            "user_accumulators": self.padded(accumulators, padding=not self.rowwise),
        }
        tables = object.__new__(Tables)  # not through __setstate__, which copies
        tables.__dict__.update(self.__dict__, arrays=arrays)
        return tables

    def user_vectors(self) -> np.ndarray:
        """The users as a NumPy array of n_dims columns (a copy)."""
        return self._columns("users")

    def copy(self) -> Tables:
        """The tables as they are now, in the memory of their device."""
        return copy.deepcopy(self)

    def is_like(self, other: Tables) -> bool:
        """Whether both have as many users, items, dimensions and accumulators."""
        return (self.shape, self.n_dims, self.rowwise) == (
            other.shape,
            other.n_dims,
            other.rowwise,
        )

    def restore(self, other: Tables) -> None:
        """Take over what ``other``, a copy of these tables, holds."""
        for name, array in self.arrays.items():
            array[...] = other.arrays[name]

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Align the arrays of copies and unpickled tables again: NumPy does not."""
        self.__dict__.update(state)
        if self.device == "cpu":
            for name, array in self.arrays.items():
                self.arrays[name] = _aligned_zeros(array.shape)
                self.arrays[name][...] = array

    def padded(self, values: Any, *, padding: bool = True) -> Any:
        """A copy of an array of n_dims columns in rows like those of the tables.

        Without ``padding`` the columns stay as they are.
        """
        columns = values.shape[1]
        shape = (len(values), _width(self.n_dims) if padding else columns)
        if self.device == "cpu":
            table = _aligned_zeros(shape)
        else:
            import cupy

            table, values = cupy.zeros(shape, dtype=cupy.float32), cupy.asarray(values)
        table[:, :columns] = values
        return table

    def _columns_of(self, name: str) -> int:
        """Columns of a table without the padding."""
        return 1 if self.rowwise and name.endswith("_accumulators") else self.n_dims

    def _columns(self, name: str) -> np.ndarray:
        """A copy of a table without the padding."""
        copied: np.ndarray = self.on_host(self.arrays[name])[:, : self._columns_of(name)].copy()
        return copied

    def on_host(self, array: Any) -> np.ndarray:
        """An array on the device of the tables: itself on the CPU, a copy from elsewhere."""
        if self.device == "cpu":
            return array  # type: ignore[no-any-return]
        return array.get()  # type: ignore[no-any-return]
