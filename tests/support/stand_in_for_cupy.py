"""As much of CuPy as searches, their check on a GPU and training use, on the emulated CUDA device.

Arrays lie in the CPU's memory, but NumPy does not take them for its own, as it does not take
CuPy's: what is not meant to be copied to the host cannot be by mistake. Copies and allocations are
counted.
"""

from __future__ import annotations

import sys
import time
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from cml_fast import _core
from support import emulated

ALIGNMENT = 512  # bytes; CuPy's
STREAM = 0


class Traffic(NamedTuple):
    """Bytes that CuPy copied, and how many arrays it allocated; see also `copies_to_host` of
    emulated.py, for what csrc/cuda copies."""

    to_host: int = 0
    to_device: int = 0
    allocations: int = 0

    def __sub__(self, before: Traffic) -> Traffic:
        return Traffic(*(now - then for now, then in zip(self, before, strict=True)))


traffic = Traffic()  # since the beginning


def _count(**more: int) -> None:
    global traffic
    traffic = Traffic(**{name: n + more.get(name, 0) for name, n in traffic._asdict().items()})


class DeviceArray(np.ndarray):
    def get(self) -> np.ndarray:
        _count(to_host=self.nbytes)
        return np.array(_memory(self))

    def copy(self, order: Any = "C") -> DeviceArray:
        copied = empty(self.shape, self.dtype)
        copied[...] = self
        return copied

    def __deepcopy__(self, memo: Any) -> DeviceArray:
        return self.copy()

    def __array_function__(self, function: Any, *_: Any, **__: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} got an array of the device")

    def __array_ufunc__(
        self, function: Any, method: str, *inputs: Any, out: Any = (), **options: Any
    ) -> Any:
        if method != "__call__" or any(
            isinstance(each, np.ndarray) and not isinstance(each, DeviceArray)
            for each in (*inputs, *out)
        ):
            raise TypeError(f"numpy.{function.__name__} got an array of the device")
        values = [_memory(each) if isinstance(each, DeviceArray) else each for each in inputs]
        if out:
            function(*values, out=tuple(_memory(each) for each in out), **options)
            return out[0]
        return _computed(function(*values, **options))

    def __array_namespace__(self, **_: Any) -> ModuleType:
        return sys.modules["cupy"]

    def any(self, axis: int) -> DeviceArray:  # type: ignore[override]
        return _computed(_memory(self).any(axis=axis))

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, np.ndarray) and not isinstance(value, DeviceArray):
            raise TypeError("an array of the host is assigned to one of the device")
        super().__setitem__(key, value)


def _memory(array: DeviceArray) -> np.ndarray:
    assert isinstance(array, DeviceArray), type(array)
    return array.view(np.ndarray)


def _computed(values: np.ndarray) -> DeviceArray:
    """What the device has computed."""
    array = empty(values.shape, values.dtype)
    _memory(array)[...] = values
    return array


def empty(shape: int | tuple[int, ...], dtype: Any) -> DeviceArray:
    """Memory in which nobody has written, see emulator/scheduler.cpp."""
    _count(allocations=1)
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    buffer = np.full(size + ALIGNMENT, 0xCB, dtype=np.uint8)
    offset = -buffer.ctypes.data % ALIGNMENT
    memory: DeviceArray = buffer[offset : offset + size].view(dtype).reshape(shape)
    return memory.view(DeviceArray)


def zeros(shape: int | tuple[int, ...], dtype: Any) -> DeviceArray:
    array = empty(shape, dtype)
    array[...] = 0
    return array


def empty_like(array: DeviceArray) -> DeviceArray:
    return empty(array.shape, array.dtype)


def zeros_like(array: DeviceArray) -> DeviceArray:
    return zeros(array.shape, array.dtype)


def full(shape: int, fill_value: Any, dtype: Any) -> DeviceArray:
    array = empty(shape, dtype)
    array[...] = fill_value
    return array


def arange(stop: int) -> DeviceArray:
    return _computed(np.arange(stop))


def concatenate(tup: list[DeviceArray], axis: int = 0) -> DeviceArray:
    return _computed(np.concatenate([_memory(each) for each in tup], axis))


def unique(ar: DeviceArray) -> DeviceArray:
    return _computed(np.unique(_memory(ar)))


def searchsorted(a: DeviceArray, v: DeviceArray) -> DeviceArray:
    return _computed(np.searchsorted(_memory(a), _memory(v)))


def flatnonzero(a: DeviceArray) -> DeviceArray:
    return _computed(np.flatnonzero(_memory(a)))


def ascontiguousarray(a: DeviceArray) -> DeviceArray:
    return _computed(_memory(a))


def where(condition: DeviceArray, chosen: DeviceArray, other: Any) -> DeviceArray:
    other = _memory(other) if isinstance(other, DeviceArray) else other
    return _computed(np.where(_memory(condition), _memory(chosen), other))


def asarray(array: np.ndarray) -> DeviceArray:
    if isinstance(array, DeviceArray):
        return array
    _count(to_device=array.nbytes)
    copied = empty(array.shape, array.dtype)
    _memory(copied)[...] = array
    return copied


def dot(a: DeviceArray, b: DeviceArray, out: DeviceArray) -> DeviceArray:
    """As a matrix product of another library, this adds up products in another order."""
    with np.errstate(invalid="ignore", over="ignore"):
        np.matmul(_memory(a)[:, ::-1], _memory(b)[::-1], out=_memory(out))
    return out


def partition(a: DeviceArray, kth: int, axis: int) -> DeviceArray:
    return asarray(np.partition(_memory(a), kth, axis))


def argpartition(a: DeviceArray, kth: int, axis: int) -> DeviceArray:
    return asarray(np.argpartition(_memory(a), kth, axis))


class Device:
    """A number that is current or not: the arrays of all devices lie in the same memory."""

    current = 0

    def __init__(self, device: int | None = None) -> None:
        self.id = Device.current if device is None else device
        self._before: list[int] = []

    def use(self) -> None:
        Device.current = self.id

    def __enter__(self) -> Device:
        self._before.append(Device.current)
        self.use()
        return self

    def __exit__(self, *_: object) -> None:
        Device.current = self._before.pop()


class Event:
    def record(self) -> None:
        self.seconds = time.perf_counter()

    def synchronize(self) -> None:
        pass


def get_elapsed_time(start: Event, end: Event) -> float:
    return 1000 * (end.seconds - start.seconds)


def cuda_select(**arguments: Any) -> int:
    """``_core.cuda_select``; returns how many bytes of the scores were read."""
    assert arguments["stream"] == STREAM
    return emulated.cuda_select(
        **{
            name: _memory(value) if isinstance(value, np.ndarray) else value
            for name, value in arguments.items()
        }
    )


class Job:
    """``_core.Job("cuda", ...)``."""

    def __init__(self, device: str, **arguments: Any) -> None:
        assert device == "cuda"
        arrays = {
            name: _memory(value) if isinstance(value, np.ndarray) else value
            for name, value in arguments.items()
            if isinstance(value, np.ndarray) or name == "weights"
        }
        chosen = {name: value for name, value in arguments.items() if name not in arrays}
        largest_gradient = chosen.pop("largest_gradient")
        self._job = emulated.EmulatedJob(arrays, SimpleNamespace(**chosen), largest_gradient)

    @property
    def learning_rate(self) -> float:
        return self._job.learning_rate

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self._job.learning_rate = rate

    def run(self, begin: int, end: int, *, stream: int) -> Any:
        assert stream == STREAM
        return self._job.run(begin, end)

    def step(self, table: str, rows: DeviceArray, gradients: DeviceArray, *, stream: int) -> Any:
        assert stream == STREAM
        return self._job.step(table, _memory(rows), _memory(gradients))


def _job_on(real: Any) -> Any:
    """As ``_core.Job``, which makes those on the CPU."""
    return lambda device, **arguments: (Job if device == "cuda" else real)(device, **arguments)


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the end of the test, the package finds this in place of CuPy and of a CUDA device."""
    module = ModuleType("cupy")
    functions = {"empty": empty, "zeros": zeros, "asarray": asarray, "dot": dot}
    functions |= {"partition": partition, "argpartition": argpartition, "where": where}
    functions |= {"empty_like": empty_like, "zeros_like": zeros_like, "full": full}
    functions |= {"arange": arange, "concatenate": concatenate, "unique": unique}
    functions |= {"searchsorted": searchsorted, "flatnonzero": flatnonzero}
    functions |= {"ascontiguousarray": ascontiguousarray}
    functions |= {"sqrt": np.sqrt, "maximum": np.maximum}  # which call `__array_ufunc__`
    types = {name: getattr(np, name) for name in ("float32", "int32", "int64", "uint8")}
    # Each device has a current stream, at first the default one.
    streams: dict[int, Any] = {}
    stream = SimpleNamespace(ptr=STREAM)
    monkeypatch.setattr(Device, "current", 0)
    cuda = SimpleNamespace(
        get_current_stream=lambda: streams.get(Device.current, stream),
        streams=streams,
        Device=Device,
        Event=Event,
        get_elapsed_time=get_elapsed_time,
    )
    module.__dict__.update(**functions, **types, cuda=cuda)
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(_core, "cuda_select", cuda_select, raising=False)
    monkeypatch.setattr(_core, "Job", _job_on(_core.Job))
    # The emulated device has its own memory for counters and mini-batches.
    monkeypatch.setattr(_core, "CUDA_COUNTERS", 1, raising=False)
    monkeypatch.setattr(_core, "cuda_batch_bytes", lambda *sizes: 1, raising=False)
