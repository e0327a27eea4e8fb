"""Exact search on a CUDA device, real and emulated: the results of the CPU's."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from support import stand_in_for_cupy

from cml_fast import Model
from cml_fast._compute import devices
from cml_fast._search import on_device
from cml_fast._search.exact import nearest
from cml_fast._search.on_device import nearest_on_cuda
from cml_fast.errors import DeviceUnavailable


@pytest.fixture
def on_cuda(cuda_device, monkeypatch):
    """A device for the tests that use this."""
    if cuda_device == "emulated":
        stand_in_for_cupy.install(monkeypatch)


def some_points(rng, m, p, r, levels=2):
    """Coordinates from a coarse grid make many distances equal."""
    return [np.round(rng.standard_normal((k, r)) * levels).astype(np.float32) for k in (m, p)]


def no_mask(queries, points):
    return sp.csr_array((len(queries), len(points)), dtype=np.float32)


def assert_same_as_on_the_cpu(queries, points, n, exclude):
    found = nearest_on_cuda(queries, points, n, exclude)
    for one, other in zip(found, nearest(queries, points, n, exclude), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


@pytest.mark.parametrize("density", [0.0, 0.1, 0.9, 1.0])
@pytest.mark.parametrize(("shape", "n"), [((40, 700), 13), ((3, 5), 9), ((7, 90), 90)])
def test_blocks_and_filters(on_cuda, monkeypatch, shape, n, density):
    """Four blocks, the last of them smaller."""
    monkeypatch.setattr(on_device, "BLOCK_BYTES", 4 * 700 * 11)
    rng = np.random.default_rng(0)
    exclude = sp.csr_array((rng.random(shape) < density).astype(np.float32))
    assert_same_as_on_the_cpu(*some_points(rng, *shape, 5), n, exclude)


def test_many_points(on_cuda):
    """More than the kernel holds: it samples them."""
    rng = np.random.default_rng(1)
    queries, points = (rng.standard_normal((k, 20)).astype(np.float32) for k in (6, 12_345))
    exclude = sp.csr_array((rng.random((6, 12_345)) < 0.01).astype(np.float32))
    for n in (1, 10, 2000):
        assert_same_as_on_the_cpu(queries, points, n, exclude)


def test_only_candidates_are_copied(emulator, monkeypatch):
    """And two numbers for each query."""
    stand_in_for_cupy.install(monkeypatch)
    rng = np.random.default_rng(1)
    queries, points = (rng.standard_normal((k, 4)).astype(np.float32) for k in (9, 6000))
    before = stand_in_for_cupy.traffic
    nearest_on_cuda(queries, points, 10, no_mask(queries, points))
    copied = (stand_in_for_cupy.traffic - before).to_host
    assert 9 * (10 * 4 + 2 * 8) <= copied < 1.2 * 9 * (10 * 4 + 2 * 8)


def test_the_cpu_ranks_while_the_device_works(emulator, monkeypatch):
    stand_in_for_cupy.install(monkeypatch)
    monkeypatch.setattr(on_device, "BLOCK_BYTES", 4 * 40 * 3)
    events = []

    def note(owner, name):
        original = getattr(owner, name)

        def noted(*arguments):
            events.append(name)
            return original(*arguments)

        monkeypatch.setattr(owner, name, noted)

    note(on_device._Block, "begin")
    note(on_device, "rank")
    points = np.random.default_rng(1).standard_normal((40, 4)).astype(np.float32)
    assert_same_as_on_the_cpu(points[:9], points, 3, no_mask(points[:9], points))
    assert events == ["begin", "begin", "rank", "begin", "rank", "rank"]


@pytest.mark.parametrize("offset, scale", [(1000, 1), (0, 1e-25), (0, 1e15), (3e4, 1e-2)])
def test_rounding_of_the_product(on_cuda, offset, scale):
    """Far from the origin, or tiny, the scores have few correct digits, or none."""
    rng = np.random.default_rng(1)
    points = (offset + scale * rng.uniform(-1, 1, (3008, 8))).astype(np.float32)
    assert_same_as_on_the_cpu(points[:8], points[8:], 10, no_mask(points[:8], points[8:]))


def test_more_candidates_than_there_is_room_for(on_cuda, monkeypatch):
    """They are selected again, for fewer queries at a time, until there is room."""
    monkeypatch.setattr(on_device, "BLOCK_BYTES", 4 * 5000 * 7)
    rng = np.random.default_rng(2)
    # All points but one have the same distance from a query, up to rounding.
    points = rng.permuted(np.tile(np.float32([0.1, 0.7, 1.3, 2.9]), (5000, 1)), axis=1)
    queries = np.repeat(10 ** rng.uniform(-3, 3, (17, 1)), 4, axis=1).astype(np.float32)
    queries[3] = points[0] = -4, 0, 0, 0  # the only query with a single candidate
    exclude = (rng.random((17, 5000)) < 0.3).astype(np.float32)
    exclude[3] = 0
    fitting = []
    original = on_device._Block.candidates

    def candidates(block, first, last):
        found = original(block, first, last)
        fitting.extend([last - first] if found is not None else [])
        return found

    monkeypatch.setattr(on_device._Block, "candidates", candidates)
    assert_same_as_on_the_cpu(queries, points, 1, sp.csr_array(exclude))
    assert sorted(fitting) == [1] * 15 + [2]


def test_no_queries_or_points(on_cuda):
    points = np.ones((5, 2), dtype=np.float32)
    for some, all_points in ((points[:0], points), (points, points[:0])):
        assert_same_as_on_the_cpu(some, all_points, 3, no_mask(some, all_points))


@settings(deadline=None, max_examples=40)
@given(
    m=st.integers(1, 9),
    p=st.integers(1, 400),
    r=st.integers(1, 9),
    n=st.integers(1, 60),
    density=st.sampled_from([0.0, 0.1, 0.9]),
    levels=st.sampled_from([1, 3, 1000]),
    size=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape(emulator, m, p, r, n, density, levels, size, seed):
    rng = np.random.default_rng(seed)
    exclude = sp.csr_array((rng.random((m, p)) < density).astype(np.float32))
    with pytest.MonkeyPatch.context() as patch:
        stand_in_for_cupy.install(patch)
        patch.setattr(on_device, "BLOCK_BYTES", 4 * (p + 3) * size)
        assert_same_as_on_the_cpu(*some_points(rng, m, p, r, levels), n, exclude)


def test_a_model_asks_the_device(on_cuda, monkeypatch, tmp_path):
    """With filters, groups and all users, the recommendations are the CPU's."""
    monkeypatch.setattr(devices, "cuda_problem", lambda: None)
    asked = []
    original = on_device.nearest_on_cuda

    def counted(queries, *rest):
        asked.append(len(queries))
        return original(queries, *rest)

    monkeypatch.setattr("cml_fast.model.nearest_on_cuda", counted)
    rng = np.random.default_rng(3)
    model = Model(rng.standard_normal((30, 6)), rng.standard_normal((200, 6)))
    likes = sp.csr_array((rng.random((30, 200)) < 0.1).astype(np.float32))
    filters = {
        "exclude": likes,
        "filter_items": [3, 4, 5],
        "groups": np.arange(200) % 9,
        "max_per_group": 1,
    }
    files = []
    for device in ("cuda", "cpu"):
        out = tmp_path / f"{device}.csv"
        files.append(model.recommend_all(out, n=5, device=device, **filters).read_text())
    assert files[0] == files[1]
    assert asked[0] == 30


def test_coarse_products_are_refused(monkeypatch):
    points = np.ones((5, 2), dtype=np.float32)
    monkeypatch.setenv("CUPY_TF32", "1")
    with pytest.raises(DeviceUnavailable, match=r"CUPY_TF32 makes products too coarse.*unset it"):
        nearest_on_cuda(points, points, 1, no_mask(points, points))
