"""A new loss is new files and one line in each registry, as docs/design/adding-a-loss.md says.

The test follows the page on a copy of the sources, so it fails if the page is wrong.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pybind11
import pytest
from support.kernels import INSTRUCTION_SETS
from support.packages import copy_package

import cml_fast

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "design" / "adding-a-loss.md"

# Trains with the new loss, and compares its gradients with finite differences of its loss.
CHECKS = """
import numpy as np
import scipy.sparse as sp
from cml_fast import Trainer, _core
from cml_fast._compute.kernels import make_job
from cml_fast._compute.losses import shares_negatives
from cml_fast._compute.tables import Tables
from cml_fast._training.hyperparameters import check_settings
from cml_fast.data import split, synthetic
from cml_fast.evaluation import evaluate

LOSS = "triplet"
assert LOSS in _core.LOSSES and shares_negatives(LOSS)

train, test = split(synthetic(200, 100, 4000, n_tastes=4).interactions, (0.8, 0.2))
one = Trainer(loss=LOSS, n_epochs=10, device="cpu", verbose=False).fit(train)
assert one.history_[-1].loss < 0.8 * one.history_[0].loss
recall = evaluate(one.model_, test, train, [10]).recall[10]
rng = np.random.default_rng(0)
chance = evaluate(
    type(one.model_)(rng.normal(size=(200, 8)), rng.normal(size=(100, 8)),
                     user_ids=train.user_ids, item_ids=train.item_ids),
    test, train, [10],
).recall[10]
assert recall > 2 * chance, (recall, chance)
try:
    Trainer(loss="softmax", margin=1.0, device="cpu").fit(train)
except ValueError as error:
    assert LOSS in str(error)
else:
    raise AssertionError("margin is none of the softmax's parameters")

# One mini-batch of all pairs, from accumulators of zero: they then hold the squared gradients.
likes = synthetic(20, 40, 200, n_tastes=3).interactions.matrix
params = Trainer(
    loss=LOSS, n_dims=5, n_negatives=16, batch_size=likes.nnz, optimizer="adagrad",
    max_norm=100.0, n_threads=1, device="cpu",
).get_params()
settings = check_settings(params, likes.shape)
start = [rng.normal(size=(n, 5)).astype(np.float32) for n in likes.shape]


def trained(vectors):
    tables = Tables("cpu", 5, *vectors)
    counters = make_job(tables, likes, settings).run(0, likes.nnz)
    assert counters.first_non_finite is None
    return counters.loss, tables.to_numpy()


_, after = trained(start)
gradients = [
    np.sign(before - after[name]) * np.sqrt(after[f"{name[:-1]}_accumulators"])
    for name, before in zip(("users", "items"), start)
]
assert all(np.abs(gradient).max() > 0.1 for gradient in gradients)
step = 1e-3
for _ in range(10):
    direction = [rng.normal(size=x.shape).astype(np.float32) for x in start]
    up, down = (
        trained([x + sign * step * d for x, d in zip(start, direction)])[0] for sign in (1, -1)
    )
    numeric = (up - down) / (2 * step)
    exact = sum(float((g * d).sum()) for g, d in zip(gradients, direction))
    scale = np.sqrt(sum(float((g * g).sum()) for g in gradients))
    assert abs(numeric - exact) < 0.02 * scale, (numeric, exact, scale)
print("the gradients are right")
"""


def code_of(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, built with the loss that the page adds."""
    if not PAGE.is_file() or not (ROOT / "csrc").is_dir():
        pytest.skip("the pages and the C++ sources are not beside the tests")
    copy = tmp_path_factory.mktemp("sources")
    for name in ("csrc", "cmake"):
        shutil.copytree(ROOT / name, copy / name)
    copy_package(copy)
    shutil.copy(ROOT / "CMakeLists.txt", copy)
    add_the_loss(copy)
    build(copy)
    return copy


def add_the_loss(copy: Path) -> None:
    page = PAGE.read_text()
    kernel, registration = code_of(page, "cpp")
    row = code_of(page, "python")[0]
    losses = copy / "csrc" / "core" / "losses"
    (losses / "triplet.h").write_text(kernel)

    registry = (losses / "registry.h").read_text()
    last = '#include "warp.h"\n'
    assert registry.count(last) == 1
    assert len(registration.splitlines()) == 1
    (losses / "registry.h").write_text(registry.replace(last, registration + last))

    table = copy / "cml_fast" / "_compute" / "losses.py"
    text = table.read_text()
    begin = "LOSSES: dict[str, Loss] = {\n"
    assert text.count(begin) == 1
    table.write_text(text.replace(begin, begin + row))


def build(copy: Path) -> None:
    settings = {
        "CMAKE_BUILD_TYPE": "Debug",
        "CML_CPU": INSTRUCTION_SETS[0],  # the one that is used
        "CML_FIXED_CHUNKS": "NONE",
        "CML_CUDA": "OFF",
        "Python_EXECUTABLE": sys.executable,
        "SKBUILD_PROJECT_VERSION": cml_fast.__version__,
        "pybind11_DIR": pybind11.get_cmake_dir(),
    }
    defined = [f"-D{name}={value}" for name, value in settings.items()]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for command in (
        ["cmake", "-G", "Ninja", "-S", str(copy), "-B", str(copy / "build"), *defined],
        ["cmake", "--build", str(copy / "build")],
    ):
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "PATH": path}
        )
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    (module,) = (copy / "build").glob("_core*.so")
    shutil.copy(module, copy / "cml_fast")


@pytest.mark.slow
def test_the_loss_of_the_page(sources: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHECKS],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(sources)},
    )
    assert "the gradients are right" in done.stdout, done.stderr[-3000:]
