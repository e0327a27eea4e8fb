"""What ``_core.Job`` refuses: every message names the argument."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from support.kernels import job_arguments

from cml_fast import _core

TABLES = ["users", "user_accumulators", "items", "item_accumulators"]
ARRAYS = [*TABLES, "indptr", "indices", "weights", "rank_weights"]


def refused(name, value, error, message, device="cpu"):
    """The error that one changed argument gives; it says which one that was."""
    with pytest.raises(error, match=message) as caught:
        _core.Job(device, **job_arguments(**{name: value}))
    assert re.search(rf"\b{name}\b", str(caught.value)), caught.value


def off_alignment(array):
    """The same values, four bytes off a cache line."""
    buffer = np.zeros(array.size + 32, dtype=array.dtype)
    start = -(buffer.ctypes.data // 4) % 16 + 1
    view = buffer[start : start + array.size].reshape(array.shape)
    view[:] = array
    return view


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def test_the_arguments_are_valid_as_they_are():
    counters = _core.Job("cpu", **job_arguments()).run(0, 8)
    assert (counters.pairs, counters.skipped) == (8, 0)
    assert _core.Job("cpu", **job_arguments(weights=None)).run(0, 8).pairs == 8


def test_the_learning_rate_may_change_between_launches():
    def trained(*rates):
        arguments = job_arguments()
        job = _core.Job("cpu", **arguments)
        for rate in rates:
            job.learning_rate = rate
            assert job.learning_rate == np.float32(rate)
        job.run(0, 8)
        return arguments["users"]

    before = job_arguments()["users"]
    np.testing.assert_array_equal(trained(0.0), before)
    np.testing.assert_array_equal(trained(0.0, 0.1), trained())
    assert not np.array_equal(trained(0.3), trained())
    job = _core.Job("cpu", **job_arguments())
    for rate in (-0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match="learning_rate must be finite and at least 0"):
            job.learning_rate = rate
    assert job.learning_rate == np.float32(0.1)


@pytest.mark.parametrize("loss", _core.LOSSES)
def test_every_loss_of_the_registry_trains(loss):
    arguments = job_arguments(loss=loss)
    before = arguments["users"].copy()
    assert _core.Job("cpu", **arguments).run(0, 8).pairs == 8
    assert not np.array_equal(arguments["users"], before)


def test_the_losses_in_the_order_of_their_numbers():
    """Whether the pairs of a tile share negatives; the emulated device relies on the order."""
    assert list(_core.LOSSES.items()) == [
        ("warp", False),
        ("contrastive", True),
        ("shared_warp", True),
        ("softmax", True),
    ]


def test_an_unknown_loss():
    refused(
        "loss",
        "hinge",
        ValueError,
        "must be 'warp', 'contrastive', 'shared_warp' or 'softmax', got 'hinge'",
    )


@pytest.mark.parametrize("name", _core.LOSS_PARAMETERS)
def test_hyper_parameters_of_single_losses(name):
    for value in (0.0, -1.0, np.inf, np.nan, 1e-60):
        refused(name, value, ValueError, "must be finite and above 0 in single precision")
    arguments = job_arguments()
    del arguments[name]
    with pytest.raises(TypeError, match=f"needs the keyword argument '{name}'"):
        _core.Job("cpu", **arguments)


def test_the_size_of_parts():
    refused("pairs_per_part", 3, ValueError, "must be a power of two, or 0, got 3")
    refused("pairs_per_part", -1, ValueError, "must be between 0 and")
    refused("pairs_per_part", 2**41, ValueError, "must be between 0 and")


def test_the_precision():
    refused("precision", "half", ValueError, "must be 'float32' or 'bfloat16', got 'half'")
    refused("precision", "bfloat16", ValueError, "needs a loss whose pairs share negatives")
    arguments = job_arguments(precision="bfloat16", loss="shared_warp")
    assert _core.Job("cpu", **arguments).run(0, 8).pairs == 8


@pytest.mark.parametrize("name", ARRAYS)
def test_the_type_of_an_array(name):
    array = job_arguments()[name]
    for wrong in (np.float64, np.int16, np.uint32, array.dtype.newbyteorder()):
        refused(name, array.astype(wrong), TypeError, "must have type '<")


@pytest.mark.parametrize("name", ARRAYS)
def test_what_is_not_an_array(name):
    others = [[1, 2], "text", 3]
    for other in others if name == "weights" else [*others, None]:
        refused(name, other, TypeError, "must be a NumPy array, got")


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_with_gaps(name):
    array = job_arguments()[name]
    refused(name, np.repeat(array, 2, axis=0)[::2], ValueError, "must be C-contiguous")
    if array.ndim == 2:
        refused(name, np.asfortranarray(array), ValueError, "must be C-contiguous")
        refused(name, np.repeat(array, 2, axis=1)[:, ::2], ValueError, "must be C-contiguous")


@pytest.mark.parametrize("name", ARRAYS)
def test_the_number_of_dimensions(name):
    array = job_arguments()[name]
    refused(name, array.ravel() if array.ndim == 2 else array[None], ValueError, "dimensions, got")
    refused(name, array[None, None], ValueError, "dimensions, got")


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_writable_and_aligned(name):
    array = job_arguments()[name]
    refused(name, read_only(array), ValueError, "is read-only")
    refused(name, off_alignment(array), ValueError, "must be aligned to 64 bytes")


@pytest.mark.parametrize("name", ["indptr", "indices", "weights", "rank_weights"])
def test_what_is_only_read_may_be_read_only(name):
    arguments = job_arguments()
    arguments[name] = read_only(arguments[name])
    assert _core.Job("cpu", **arguments).run(0, 4).pairs == 4


@pytest.mark.parametrize("name", ["user", "item"])
def test_the_shape_of_tables(name):
    def both(shape):
        table = np.zeros(shape, dtype=np.float32)
        return {f"{name}s": table, f"{name}_accumulators": table.copy()}

    rows = {"user": 2, "item": 4}[name]
    for width in (8, 17, 20, 31):
        with pytest.raises(ValueError, match=f"{name}s must have rows of at least n_dims = 5"):
            _core.Job("cpu", **job_arguments(**both((rows, width))))
    with pytest.raises(ValueError, match=rf"{name}s must have 1 to 2\*\*31 - 1 rows, got 0"):
        _core.Job("cpu", **job_arguments(**both((0, 16))))
    with pytest.raises(ValueError, match=r"users must have rows .* n_dims = 17 .* got 16"):
        _core.Job("cpu", **job_arguments(n_dims=17))
    larger = np.zeros((rows, 32), dtype=np.float32)
    refused(f"{name}_accumulators", larger, ValueError, f"must have the shape of {name}s")


def test_the_lengths_of_arrays_fit():
    refused("indptr", np.array([0, 4]), ValueError, r"one entry more than users has rows \(2\)")
    refused("indptr", np.array([0, 1, 2, 4]), ValueError, "got 4")
    refused("indptr", np.array([1, 1, 4]), ValueError, "must begin with 0 and end with the number")
    refused("indptr", np.array([0, 1, 5]), ValueError, "must begin with 0 and end with the number")
    refused("indices", np.zeros(0, np.int32), ValueError, "must have at least one pair")
    refused("weights", np.ones(3, np.float32), ValueError, "one value for each of indices")
    refused("rank_weights", np.ones(7, np.float32), ValueError, r"n_negatives \+ 1 values, got 7")


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("n_dims", 1, 2048), ("n_negatives", 1, 1024), ("n_threads", 1, 4096)],
)
def test_ranges_of_integers(name, low, high):
    for value in (low - 1, -1, -(2**40), high + 1, 2**32 + 1, 2**63 - 1):
        refused(name, value, ValueError, f"must be between {low} and {high}, got {value}$")


@pytest.mark.parametrize("name", ["margin", "learning_rate", "epsilon", "max_norm"])
def test_ranges_of_reals(name):
    for value in (0, -0.5, float("nan"), float("inf"), -float("inf"), 1e39, 1e-50):
        refused(name, value, ValueError, "must be finite and above 0 in single precision, got")


@pytest.mark.parametrize("name", sorted(job_arguments()))
def test_every_argument_is_needed(name):
    arguments = job_arguments()
    del arguments[name]
    with pytest.raises(TypeError, match=f"needs the keyword argument '{name}'$"):
        _core.Job("cpu", **arguments)


@pytest.mark.parametrize("name", ["batchsize", "n_thread", "users_accumulators", "cpu"])
def test_an_argument_that_does_not_exist(name):
    with pytest.raises(TypeError, match=f"got an unexpected keyword argument '{name}'$"):
        _core.Job("cpu", **job_arguments(**{name: 1}))


def test_the_device():
    for other in ("gpu", "", "CPU"):
        with pytest.raises(ValueError, match=f"device must be 'cpu' or 'cuda', got '{other}'"):
            _core.Job(other, **job_arguments())


def test_numpy_arrays_are_not_cudas():
    refused("users", job_arguments()["users"], TypeError, "must be a CUDA .* got ndarray", "cuda")


def test_cuda_arrays_without_cuda_kernels():
    if _core.build_info()["cuda"]["built"]:
        pytest.skip("this build has CUDA kernels")
    arguments = job_arguments()
    for name in ARRAYS:
        interface = arguments[name].__array_interface__
        arguments[name] = SimpleNamespace(__cuda_array_interface__=interface)
    with pytest.raises(RuntimeError, match="this build has no CUDA kernels"):
        _core.Job("cuda", **arguments)


@pytest.mark.parametrize(
    ("begin", "end"),
    [(-1, 3), (3, 2), (-3, -2), (0, 2**62 + 1), (0, 2**48 * 4), (2**48 * 4 - 1, 2**48 * 4)],
)
def test_ranges_of_samples(begin, end):
    arguments = job_arguments()
    before = {name: arguments[name].copy() for name in TABLES}
    job = _core.Job("cpu", **arguments)
    with pytest.raises(ValueError, match=rf"begin and end must .* got {begin} and {end}$"):
        job.run(begin, end)
    for name in TABLES:
        np.testing.assert_array_equal(arguments[name], before[name])


def test_the_last_sample_there_can_be():
    last = 2**48 * 4 - 1
    assert _core.Job("cpu", **job_arguments()).run(last - 1, last).pairs == 1


def test_a_job_keeps_its_arrays_alive():
    arguments = job_arguments()
    users = arguments["users"]
    before = users.copy()
    job = _core.Job("cpu", **arguments)
    del arguments
    for _ in range(100):  # would be given the memory of the dead ones
        np.full((3, 16), np.nan, dtype=np.float32)
    assert job.run(0, 400).active > 0
    assert np.isfinite(users).all()
    assert (users != before).any()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_dims", 1.5),
        ("n_negatives", 2**70),
        ("n_threads", "2"),
        ("seed", -1),
        ("seed", 2**64),
        ("margin", "1"),
        ("instruction_set", None),
    ],
)
def test_the_type_of_a_scalar(name, value):
    refused(name, value, TypeError, "has a wrong type or is out of range")


def test_rank_weights_need_a_negative():
    with pytest.raises(ValueError, match="n_negatives must be at least 1"):
        _core.rank_weights(10, 0)
