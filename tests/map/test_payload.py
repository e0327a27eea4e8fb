"""The data of a page come out as they went in, and are never HTML."""

import re

import numpy as np
import pytest

from cml_fast._map.payload import decode, encode, quantised

HOSTILE = "</script><script>alert(1)</script>"
ARRAYS = {
    "bytes": np.arange(5, dtype=np.uint8),
    "rows": np.array([0, 70_000, 2**32 - 1], dtype=np.uint32),
    "steps": np.array([1, 65_535], dtype=np.uint16),
    "signed": np.array([-1, 7], dtype=np.int32),
    "places": np.array([[0.5, -1], [2, 3]], dtype=np.float32),
    "dates": np.array([1.5, np.nan]),
    "none": np.zeros(0, dtype=np.uint32),
}


def test_round_trip():
    header = {"names": ["ünï", HOSTILE, "\udcff", ""], "n": 3, "nothing": None}
    found, arrays = decode(encode(header, ARRAYS))
    assert found == header
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array.ravel())


def test_text_has_only_characters_of_base64_and_is_the_same_again():
    text = encode({"names": [HOSTILE]}, ARRAYS)
    assert re.fullmatch(r"[A-Za-z0-9+/]+=*", text)
    assert text == encode({"names": [HOSTILE]}, ARRAYS)


def test_big_endian_numbers_are_turned():
    _, arrays = decode(encode({}, {"n": np.array([1, 2], dtype=">u4")}))
    assert arrays["n"].tolist() == [1, 2]


def test_types_that_the_page_does_not_know():
    with pytest.raises(TypeError, match="int64, as rows is"):
        encode({}, {"rows": np.arange(3)})


def test_quantised_numbers_are_near():
    values = np.random.default_rng(0).uniform(0, 7, 1000)
    back = quantised(values, 7) * (7 / 65_535)
    assert np.abs(back - values).max() <= 7 / 131_070 * (1 + 1e-9)
    assert quantised(np.zeros(3), 0).tolist() == [0, 0, 0]
