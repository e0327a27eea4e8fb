"""``precision="bfloat16"``: what it changes, what it leaves alone, and where it is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.trainers import assert_same, trainer, vectors

import cml_fast._training.fold_in
from cml_fast import Model, Trainer, _core
from cml_fast._compute import devices
from cml_fast._compute.kernels import make_job
from cml_fast.data import synthetic
from cml_fast.errors import DeviceUnavailable

LIKES = synthetic(60, 40, 500, n_tastes=4).interactions.matrix
SHARING = [name for name, shares in _core.LOSSES.items() if shares]


def rounded(**params: Any) -> Trainer:
    return trainer(precision="bfloat16", **params)


# What it does


@pytest.mark.parametrize("update", ["sync", "async"])
@pytest.mark.parametrize("loss", SHARING)
def test_every_loss_with_shared_negatives_learns_about_the_same(loss: str, update: str) -> None:
    one, other = (
        make(loss=loss, update=update, n_epochs=3).fit(LIKES) for make in (rounded, trainer)
    )
    # Elements are up to 1, and some pairs of shared_warp push another negative than they would.
    assert 1e-5 < abs(vectors(one) - vectors(other)).mean() < 0.03
    for mine, theirs in zip(one.history_, other.history_, strict=True):
        assert mine.loss == pytest.approx(theirs.loss, rel=0.01)


def test_threads_and_what_is_chosen_by_trials_repeat_to_the_bit() -> None:
    chosen = {"temperature": None, "user_retention": None}
    one, other = (rounded(**chosen, n_threads=n).fit(LIKES) for n in (1, 3))
    assert one.temperature_ == other.temperature_
    assert_same(one, other)


def test_it_is_recorded_in_the_model(tmp_path: Path) -> None:
    rounded().fit(LIKES).model_.save(tmp_path / "model")
    assert Model.load(tmp_path / "model").hyperparameters["precision"] == "bfloat16"
    assert trainer().fit(LIKES).model_.hyperparameters["precision"] == "float32"


def test_new_users_are_placed_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    precisions = []

    def spy(tables: Any, likes: Any, settings: Any) -> Any:
        precisions.append(settings.precision)
        return make_job(tables, likes, settings)

    monkeypatch.setattr(cml_fast._training.fold_in, "make_job", spy)
    model = rounded().fit(LIKES).model_
    model.fold_in_users(LIKES[:5])
    model.update_users(LIKES[:5], users=range(5))
    assert precisions == ["float32"] * 2


# Where it is refused


def test_a_loss_whose_pairs_have_negatives_of_their_own() -> None:
    with pytest.raises(ValueError, match=r"precision='bfloat16' needs .* got loss='warp'") as error:
        rounded(loss="warp").fit(LIKES)
    for loss in SHARING:
        assert f"loss={loss!r}" in str(error.value)
    assert "precision='float32'" in str(error.value)
    trainer(loss="warp", precision="float32").fit(LIKES)


@pytest.fixture
def old_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cuda_problem", lambda: None)
    monkeypatch.setattr(_core, "cuda_bfloat16_problem", lambda: "it is too old", raising=False)


@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_a_gpu_without_tensor_cores_for_it(old_gpu: None, device: str) -> None:
    one = rounded().fit(LIKES)
    before, history = one.model_, one.history_
    message = "precision='bfloat16' cannot be used on this GPU: it is too old; set precision="
    with pytest.raises(DeviceUnavailable, match=re.escape(message)):
        one.set_params(device=device).fit(LIKES)
    assert one.model_ is before and one.history_ is history
    assert devices.choose_device(device, "float32")[0] == "cuda"
    assert devices.choose_device("cpu", "bfloat16")[0] == "cpu"


def test_a_gpu_that_has_it_is_used(old_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_core, "cuda_bfloat16_problem", lambda: "")
    assert devices.choose_device("auto", "bfloat16")[0] == "cuda"
