"""As much of CuPy as searches and their check on a GPU use, on the emulated CUDA device.

Arrays lie in the CPU's memory, but NumPy does not take them for its own, as it does not take
CuPy's: what is not meant to be copied to the host cannot be by mistake.
"""

from __future__ import annotations

import sys
import time
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cml_fast import _core
from support import emulated

ALIGNMENT = 512  # bytes; CuPy's
STREAM = 0


copied_bytes = 0  # from the device to the host


class DeviceArray(np.ndarray):
    def get(self) -> np.ndarray:
        global copied_bytes
        copied_bytes += self.nbytes
        return np.array(_memory(self))

    def __array_function__(self, function: Any, *_: Any, **__: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} got an array of the device")

    def __array_ufunc__(self, function: Any, *_: Any, **__: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} got an array of the device")

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, np.ndarray) and not isinstance(value, DeviceArray):
            raise TypeError("an array of the host is assigned to one of the device")
        super().__setitem__(key, value)


def _memory(array: DeviceArray) -> np.ndarray:
    assert isinstance(array, DeviceArray), type(array)
    return array.view(np.ndarray)


def empty(shape: int | tuple[int, ...], dtype: Any) -> DeviceArray:
    """Memory in which nobody has written, see emulator/scheduler.cpp."""
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


def asarray(array: np.ndarray) -> DeviceArray:
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


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the end of the test, the package finds this in place of CuPy and of a CUDA device."""
    module = ModuleType("cupy")
    functions = {"empty": empty, "zeros": zeros, "asarray": asarray, "dot": dot}
    functions |= {"partition": partition, "argpartition": argpartition}
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
