"""Every name of CuPy that our code uses is in CuPy 13 and 14, and takes such arguments."""

import json

import pytest
from support.cupy_names import FOLDERS, TABLE, parameters_in, problems, uses, uses_in

VERSIONS = json.loads(TABLE.read_text())


def problems_of(code):
    return [problem for use in uses_in(code, "code") for problem in problems(use, VERSIONS)]


def test_the_names_are_in_cupy_13_and_14():
    assert {version.partition(".")[0] for version in VERSIONS} == {"13", "14"}
    found = uses()
    assert {use.place.startswith(folder) for use in found for folder in FOLDERS} == {True, False}
    assert "cupyx.scipy.sparse.csr_matrix" in {use.name for use in found}
    assert [problem for use in found for problem in problems(use, VERSIONS)] == []


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("cupy.zeroes(3)", "does not exist"),
        ("array.astype(cupy.flota32)", "does not exist"),
        ("from cupy import zeroes", "does not exist"),
        ("xp.zeros(3, colour=1)", "unexpected keyword argument 'colour'"),
        ("cupy.dot(a, b, c, d)", "too many positional arguments"),
        ("xp.sqrt(*arrays, colour=1)", "unexpected keyword argument 'colour'"),
        ("cupy.cuda.get_elapsed_time(start)", "missing a required argument: 'end_event'"),
        ("cupy.__version__()", "cannot be called"),
    ],
)
def test_what_cupy_does_not_have_is_found(code, problem):
    found = problems_of(code)
    assert len(found) == len(VERSIONS)
    assert all(problem in one and "code:1" in one for one in found)


@pytest.mark.parametrize(
    "code",
    ["cupy.zeros((2, 3), dtype=cupy.int32)", "xp.sqrt(x)", "xp.sqrt(*arrays)", "np.zeroes(3)"],
)
def test_what_cupy_has_is_not(code):
    assert problems_of(code) == []


@pytest.mark.parametrize(
    ("line", "parameters"),
    [
        ("f(int device_id=-1)\nText.", "device_id=..."),
        ("f(x, /, out=None, \\*, dtype=None)", "x, /, out=..., *, dtype=..."),
        ("f(unicode code, tuple options=(), *, jitify=False)", "code, options=..., *, jitify=..."),
        ("f() -> int", ""),
        ("Does this and that.", None),
    ],
)
def test_parameters_of_compiled_functions(line, parameters):
    assert parameters_in(line) == parameters
