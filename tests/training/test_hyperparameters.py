"""The table of hyper-parameters, and what is derived from it."""

import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import scipy.sparse as sp
from support.packages import copy_package
from support.trainers import trainer

from cml_fast import Trainer, _core
from cml_fast._cli.app import main
from cml_fast._compute.losses import LOSSES
from cml_fast._training.hyperparameters import HYPERPARAMETERS, check_settings, resolve
from cml_fast.data import synthetic

LIKES = synthetic(60, 40, 500, n_tastes=4).interactions.matrix
# A value that is fine by itself, for each hyper-parameter that may have no effect.
VALUES: dict[str, Any] = {
    "margin": 0.5,
    "temperature": 0.5,
    "negative_weight": 2.0,
    "batch_size": 10,
    "cov_interval": 100,
    "feature_weight": 1.0,
    "feature_learning_rate": 0.1,
    "feature_interval": 100,
    "feature_warm_up": 1,
    "n_hidden": 8,
}


@pytest.mark.parametrize(
    ("n_items", "n_pairs", "expected"),
    [
        (100, None, 3),
        (2000, None, 5),
        (25_975, 84_595, 24),  # as many as the likes allow
        (6_170, 30_957, 15),
        (40_981, 719_081, 64),
        (2**31 - 1, 2**40, 64),
    ],
)
def test_the_papers_loss_draws_as_many_negatives_as_suit_the_data(
    n_items: int, n_pairs: int | None, expected: int
) -> None:
    for loss in ("warp", "shared_warp"):
        params = Trainer(loss=loss).get_params()
        settings = check_settings(params, (10, n_items), n_pairs)
        assert settings.n_negatives == expected
        assert settings.importance_weight == n_items / expected
        given = check_settings({**params, "n_negatives": 7}, (10, n_items), n_pairs)
        assert given.n_negatives == 7


@pytest.mark.parametrize(
    ("n_pairs", "expected"),
    [
        (None, 1024),
        (1, 1024),
        (32 * 2048 - 1, 1024),
        (32 * 2048, 2048),
        (84_595, 2048),
        (719_081, 8192),
        (2**40, 8192),
    ],
)
def test_mini_batches_follow_the_data(n_pairs: int | None, expected: int) -> None:
    params = Trainer().get_params()
    assert check_settings(params, (10, 10), n_pairs).batch_size == expected
    assert check_settings({**params, "batch_size": 7}, (10, 10), n_pairs).batch_size == 7
    assert check_settings({**params, "update": "async"}, (10, 10), n_pairs).batch_size == 0


def test_the_model_records_how_many_negatives_there_were() -> None:
    """New users are placed with as many, however few likes they bring."""
    likes = synthetic(60, 2000, 3000).interactions
    one = trainer(loss="shared_warp", n_negatives=None, n_epochs=1).fit(likes)
    assert one.n_negatives_ == 5
    assert one.model_.hyperparameters["n_negatives"] == 5


def test_the_signature_is_the_table() -> None:
    parameters = list(inspect.signature(Trainer).parameters)
    assert parameters == list(HYPERPARAMETERS)
    assert Trainer().get_params() == {
        name: row.signature_default for name, row in HYPERPARAMETERS.items()
    }
    with pytest.raises(TypeError, match=r"no parameter 'n_dim'; .*'n_dims'"):
        Trainer(n_dim=3)


def test_the_docstring_has_an_entry_for_each() -> None:
    assert Trainer.__doc__ is not None
    for name in HYPERPARAMETERS:
        assert f"\n    {name} : " in Trainer.__doc__


def test_the_command_line_has_an_option_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    shown = {}
    for option in ("--help", "--help-all"):
        assert main(["train", option]) == 0
        shown[option] = capsys.readouterr().out
    for name, row in HYPERPARAMETERS.items():
        option = f" --{name.replace('_', '-')} "
        assert (option in shown["--help-all"]) == (row.kind is not None), name
        assert (option in shown["--help"]) == (row.kind is not None and not row.rare), name


def test_a_model_records_those_that_say_how_it_was_made() -> None:
    recorded = trainer().fit(LIKES).model_.hyperparameters
    assert recorded.keys() == {name for name, row in HYPERPARAMETERS.items() if row.kind}


def test_values_are_listed_for_all_that_may_have_no_effect() -> None:
    conditional = {
        name
        for name, row in HYPERPARAMETERS.items()
        if row.needs or set(row.losses()) != set(LOSSES)
    }
    assert conditional == VALUES.keys()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    "name", [n for n in VALUES if set(HYPERPARAMETERS[n].losses()) != set(LOSSES)]
)
def test_of_another_loss(name: str, loss: str) -> None:
    one = Trainer(loss=loss, n_epochs=1, device="cpu", verbose=False, **{name: VALUES[name]})
    owners = HYPERPARAMETERS[name].losses()
    if loss in owners:
        one.fit(LIKES)
        return
    with pytest.raises(ValueError, match=f"{name}=.* has no effect with loss='{loss}'") as refusal:
        one.fit(LIKES)
    for owner in owners:
        assert f"loss={owner!r}" in str(refusal.value)
    assert not hasattr(one, "model_")


@pytest.mark.parametrize(
    ("name", "params", "fault"),
    [
        ("batch_size", {"update": "async"}, "update='sync'"),
        ("cov_interval", {}, "cov_weight"),
        *(
            (name, {}, "item_features")
            for name in VALUES
            if HYPERPARAMETERS[name].needs == "features"
        ),
    ],
)
def test_of_another_mode(name: str, params: dict[str, Any], fault: str) -> None:
    one = trainer(**params).set_params(**{name: VALUES[name]})
    with pytest.raises(ValueError, match=rf"{name}={VALUES[name]} has no effect .*{fault}"):
        one.fit(LIKES)
    assert not hasattr(one, "model_")


def test_of_its_own_mode() -> None:
    trainer(batch_size=10, cov_weight=1.0, cov_interval=100).fit(LIKES)
    features = sp.eye_array(LIKES.shape[1], format="csr")
    own = {name: VALUES[name] for name in VALUES if HYPERPARAMETERS[name].needs == "features"}
    trainer(**own).fit(LIKES, item_features=features)


@pytest.mark.parametrize("loss", LOSSES)
def test_none_is_the_default_of_the_loss(loss: str) -> None:
    defaults = {name: value for name, value in LOSSES[loss].defaults.items() if value is not None}
    params = Trainer(loss=loss).get_params()
    by_hand = {**params, **{n: v for n, v in defaults.items() if n != "feature_weight"}}
    assert check_settings(params, LIKES.shape) == check_settings(by_hand, LIKES.shape)
    assert resolve(params)["feature_weight"] == defaults["feature_weight"]


NEW_ROW = '''        Hyperparameter(
            "momentum",
            0.5,
            _share,
            "of no use",
            """float
        Only for a test.""",
            kind=float,
        ),
        Hyperparameter(
            "verbose",
'''


def test_a_new_one_is_one_row(tmp_path: Path) -> None:
    """In a copy of the package: signature, docstring, command line, check and record follow."""
    package = copy_package(tmp_path)
    shutil.copy(_core.__file__, package)
    table = package / "_training" / "hyperparameters.py"
    text = table.read_text()
    place = '        Hyperparameter(\n            "verbose",\n'
    assert text.count(place) == 1
    table.write_text(text.replace(place, NEW_ROW))
    script = """
import sys
from cml_fast import Trainer
from cml_fast._cli.app import main
from cml_fast.data import synthetic
likes = synthetic(60, 40, 500, n_tastes=4).interactions
assert "momentum : float" in Trainer.__doc__
one = Trainer(n_epochs=1, temperature=0.3, device="cpu", verbose=False)
assert one.fit(likes).model_.hyperparameters["momentum"] == 0.5
try:
    one.set_params(momentum=2).fit(likes)
except ValueError as error:
    print(error)
main(["train", "--help"])
"""
    environment = {"PYTHONPATH": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert "momentum must be at least 0 and below 1, got 2" in run.stdout, run.stderr
    assert re.search(r"--momentum +X", run.stdout)
