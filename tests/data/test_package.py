"""The package of data as a whole: it loads nothing that it may not need."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp

from cml_fast.data import Features, Interactions

SLOW = ("matplotlib", "pyarrow", "optuna")
# Not for `import cml_fast` and the help of the command line.
LATER = (*SLOW, "numpy", "scipy", "cml_fast._core")


@pytest.mark.parametrize(
    ("name", "slow"),
    [
        ("cml_fast", LATER),
        ("cml_fast._cli.app", LATER),
        ("cml_fast.data", SLOW),
        ("cml_fast.trainer", SLOW),
        ("cml_fast._cli.commands.train", SLOW),
        ("cml_fast._cli.commands.recommend", SLOW),
    ],
)
def test_import_loads_nothing_slow(name: str, slow: tuple[str, ...]) -> None:
    code = f"import sys, {name}; print(*(slow for slow in {slow} if slow in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == []


def test_the_package_has_its_parts_when_they_are_asked_for() -> None:
    code = """
import cml_fast
assert {"Model", "Trainer", "data", "errors"} <= set(dir(cml_fast))
assert cml_fast.data.split and cml_fast.errors.DataError and cml_fast.model.Model
from cml_fast import *
assert Model is cml_fast.Model and build_info()["version"] == __version__
try:
    cml_fast.nothing
except AttributeError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "module 'cml_fast' has no attribute 'nothing'\n", done.stderr


def test_representations_are_short() -> None:
    matrix = sp.csr_array(np.ones((1200, 3), dtype=np.float32))
    likes = Interactions(matrix, np.arange(1200), np.arange(3))
    assert repr(likes) == "Interactions(1,200 users x 3 items, 3,600 interactions)"
    features = Features(matrix, None, np.arange(3))
    assert repr(features) == "Features(1,200 objects x 3 features, 3,600 entries)"
