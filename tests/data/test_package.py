"""The package of data as a whole: it loads nothing that it may not need."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp

from cml_fast.data import Features, Interactions

SLOW = ("matplotlib", "pyarrow")


@pytest.mark.parametrize("name", ["cml_fast", "cml_fast.data", "cml_fast._cli.app"])
def test_import_loads_nothing_slow(name: str) -> None:
    code = f"import sys, {name}; print(*(slow for slow in {SLOW} if slow in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == []


def test_representations_are_short() -> None:
    matrix = sp.csr_array(np.ones((1200, 3), dtype=np.float32))
    likes = Interactions(matrix, np.arange(1200), np.arange(3))
    assert repr(likes) == "Interactions(1,200 users x 3 items, 3,600 interactions)"
    features = Features(matrix, None, np.arange(3))
    assert repr(features) == "Features(1,200 objects x 3 features, 3,600 entries)"
