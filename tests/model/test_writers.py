"""Several processes that save to one folder or file, and load beside it; and killed ones."""

import functools
import multiprocessing
import os
import signal
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from support.trainers import trainer, vectors

from cml_fast import Model, Trainer
from cml_fast import _locks as locks
from cml_fast._persistence import folder as folders
from cml_fast._search import bulk
from cml_fast._training.checkpoint import Checkpoint
from cml_fast.data import synthetic
from cml_fast.errors import ModelError

# Before processes are forked, each of which would import them. pyarrow looks for pandas.
for package in ("pandas", "pyarrow.csv"):
    import_module(package)

FORK = multiprocessing.get_context("fork")
TRAIN = synthetic(40, 30, 300).interactions
HYPERPARAMETERS = Trainer().get_params()


def make(value):
    """A model in which everything is ``value``."""
    users, items = ([f"{value} {row}" for row in range(n)] for n in (300, 20))
    vectors = (np.full((n, 8), float(value)) for n in (300, 20))
    hyperparameters = {"value": value}
    model = Model(*vectors, user_ids=users, item_ids=items, hyperparameters=hyperparameters)
    return model.build_index("exact", recall=None)


def value_of(model):
    """The one value of which all of a model is made."""
    numbers = {*model.user_vectors.ravel().tolist(), *model.item_vectors.ravel().tolist()}
    texts = {id.split()[0] for ids in (model.user_ids, model.item_ids) for id in ids}
    (value,) = numbers | set(map(float, texts)) | {float(model.hyperparameters["value"])}
    return value


def together(*works):
    """Run functions in a process each, that begin at the same time, and return exit codes."""
    barrier = FORK.Barrier(len(works))

    def run(work):
        barrier.wait()
        work()

    processes = [FORK.Process(target=run, args=(work,)) for work in works]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def save_often(folder, value, times):
    model = make(value)
    for _ in range(times):
        model.save(folder)


def load_often(folder, n_values, times):
    for _ in range(times):
        assert value_of(Model.load(folder)) in range(n_values)


@pytest.mark.parametrize("n_writers", [2, 8])
@pytest.mark.parametrize("n_rounds", [2, pytest.param(15, marks=pytest.mark.slow)])
def test_models_saved_to_one_folder(tmp_path, n_writers, n_rounds):
    """All saves and loads succeed, and what is left is one whole model and nothing else."""
    for at in range(n_rounds):
        folder = tmp_path / f"absent-{at}"
        writers = [
            functools.partial(save_often, folder, value, 16 // n_writers)
            for value in range(n_writers)
        ]
        assert together(*writers) == [0] * n_writers
        assert value_of(Model.load(folder)) in range(n_writers)
        loaders = [functools.partial(load_often, folder, n_writers, 20)] * 2
        assert set(together(*writers, *loaders)) == {0}
        assert value_of(Model.load(folder)) in range(n_writers)
        assert len(list(folder.iterdir())) == 4


def test_a_saver_waits_for_another_one(tmp_path):
    make(0).save(tmp_path)
    with locks.lock_for_writing(tmp_path):
        saver = FORK.Process(target=save_often, args=(tmp_path, 1, 1))
        saver.start()
        assert value_of(Model.load(tmp_path)) == 0  # without waiting
        assert saver.is_alive()
    saver.join()
    assert saver.exitcode == 0 and value_of(Model.load(tmp_path)) == 1


def test_what_is_replaced_while_it_is_read_is_read_again(tmp_path, monkeypatch):
    """After the manifest was read, another process saves, and removes the files it lists."""
    make(0).save(tmp_path)
    read_manifest = folders._read_manifest
    saved = []

    def read_and_save(folder, kind):
        manifest = read_manifest(folder, kind)
        if not saved:
            saved.append(1)
            make(1).save(tmp_path)
        return manifest

    monkeypatch.setattr(folders, "_read_manifest", read_and_save)
    assert value_of(Model.load(tmp_path)) == 1


def test_a_folder_removed_by_a_failed_first_save_is_made_again(tmp_path, monkeypatch):
    """What a saver that waits finds, if the one before it has failed."""
    flock, gone = locks.fcntl.flock, []

    def remove_first(descriptor, operation):
        if not gone:
            gone.append((tmp_path / "model").rmdir())
        flock(descriptor, operation)

    monkeypatch.setattr(locks.fcntl, "flock", remove_first)
    make(3).save(tmp_path / "model")
    assert value_of(Model.load(tmp_path / "model")) == 3 and gone


def test_without_locks_of_the_file_system(tmp_path, monkeypatch):
    def no_locks(descriptor, operation):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(locks.fcntl, "flock", no_locks)
    make(3).save(tmp_path / "model")
    assert value_of(Model.load(tmp_path / "model")) == 3


# --- checkpoints ------------------------------------------------------------------------------


def write_often(stored, folder, times):
    checkpoint, state = Checkpoint.read(stored, HYPERPARAMETERS)
    checkpoint.folder = folder
    for _ in range(times):
        checkpoint.write(state, finished=True)


def read_often(folder, expected, times):
    for _ in range(times):
        _, state = Checkpoint.read(folder, HYPERPARAMETERS)
        assert np.array_equal(state.tables.to_numpy()["users"], expected[state.seed])


@pytest.mark.parametrize("n_rounds", [2, pytest.param(15, marks=pytest.mark.slow)])
def test_checkpoints_written_to_one_folder(tmp_path, n_rounds):
    stored = [tmp_path / f"seed-{seed}" for seed in range(2)]
    expected = {}
    for seed, folder in enumerate(stored):
        trainer(random_state=seed).fit(TRAIN, checkpoint=folder)
        _, state = Checkpoint.read(folder, HYPERPARAMETERS)
        expected[state.seed] = state.tables.to_numpy()["users"]
    assert len(expected) == 2
    for at in range(n_rounds):
        folder = tmp_path / f"shared-{at}"
        writers = [functools.partial(write_often, one, folder, 8) for one in stored]
        assert together(*writers) == [0, 0]
        assert set(together(*writers, lambda: read_often(folder, expected, 20))) == {0}  # noqa: B023
        read_often(folder, expected, 1)
        assert len(list(folder.iterdir())) == len(list(stored[0].iterdir()))


# --- files written in parts -------------------------------------------------------------------


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(bulk, "USERS", 40)


def recommend(folder, value):
    model = Model(np.arange(100.0)[:, None], np.arange(9.0)[:, None] + value)
    model.recommend_all(folder / "recs.csv", 3, overwrite=True)


def recommend_or_exit(folder, value):
    """Exit with 3 if writing is refused because another process writes."""
    try:
        recommend(folder, value)
    except FileExistsError as error:
        known = ("being written by another process", "made with another model")
        os._exit(3 if any(text in str(error) for text in known) else 4)


@pytest.mark.parametrize("n_rounds", [4, pytest.param(30, marks=pytest.mark.slow)])
def test_one_file_of_two_processes(tmp_path, n_rounds):
    whole = []
    for value in range(2):
        (tmp_path / str(value)).mkdir()
        assert together(functools.partial(recommend, tmp_path / str(value), value)) == [0]
        whole.append((tmp_path / str(value) / "recs.csv").read_bytes())
    assert whole[0] != whole[1]
    for at in range(n_rounds):
        folder = tmp_path / f"round-{at}"
        folder.mkdir()
        codes = together(
            *(functools.partial(recommend_or_exit, folder, value) for value in range(2))
        )
        assert set(codes) <= {0, 3} and 0 in codes
        assert os.listdir(folder) == ["recs.csv"]
        # If both had their turn, the file is that of the last one.
        assert (folder / "recs.csv").read_bytes() in [
            content for content, code in zip(whole, codes, strict=True) if code == 0
        ]


def test_parts_that_another_process_writes_are_left_alone(tmp_path):
    with locks.lock_for_writing(tmp_path / "recs.csv.parts"):
        assert together(functools.partial(recommend_or_exit, tmp_path, 0)) == [3]
    assert os.listdir(tmp_path) == ["recs.csv.parts"]


# --- killed processes -------------------------------------------------------------------------


def killed_at(step, work, *others):
    """Do some work in a process that is killed at that step of its work with files.

    A file is half written then. Returns False if the work has fewer steps. The other works are
    done beside it, and succeed.
    """

    def run():
        steps = iter(range(10**6))

        def dying(function, half=None):
            def wrapped(*args, **kwargs):
                if next(steps) == step:
                    if half is not None:
                        half(*args)
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **kwargs)

            return wrapped

        write_half = Path.write_bytes
        Path.write_bytes = dying(
            write_half, lambda path, content: write_half(path, content[: len(content) // 2])
        )
        for name in ("fsync", "replace", "unlink", "mkdir", "rmdir"):
            setattr(os, name, dying(getattr(os, name)))
        work()

    code, *codes = together(run, *others)
    assert not any(codes)
    assert code in (0, -signal.SIGKILL)
    return code != 0


def test_killed_at_every_step_of_a_save(tmp_path):
    make(0).save(tmp_path)
    step, found = 0, []
    while killed_at(step, lambda: make(1).save(tmp_path)):
        found.append(value_of(Model.load(tmp_path)))
        make(0).save(tmp_path)
        assert len(list(tmp_path.iterdir())) == 4  # what was left is removed
        assert value_of(Model.load(tmp_path)) == 0
        step += 1
    assert found == sorted(found) and set(found) == {0, 1} and step > 12


# CML_FAST_KILLS=1000 kills so many processes, or a few more, that save beside others.
KILLS = int(os.environ.get("CML_FAST_KILLS", "100"))


@pytest.mark.parametrize("n_kills", [1, pytest.param(KILLS, marks=pytest.mark.slow)])
def test_killed_at_every_step_beside_others(tmp_path, n_kills):
    """Another process saves, and another one loads."""
    make(0).save(tmp_path)
    others = (
        functools.partial(save_often, tmp_path, 0, 3),
        functools.partial(load_often, tmp_path, 2, 5),
    )
    killed = 0
    while killed < n_kills:
        step = 0
        while killed_at(step, functools.partial(save_often, tmp_path, 1, 1), *others):
            assert value_of(Model.load(tmp_path)) in (0, 1)
            step += 1
        assert step > 12
        killed += step
        assert len(list(tmp_path.iterdir())) == 4
    print(f"{killed} processes were killed")


def test_killed_at_every_step_of_a_first_save(tmp_path):
    step, complete = 0, []
    while True:
        folder = tmp_path / str(step)
        if not killed_at(step, lambda: make(1).save(folder)):  # noqa: B023
            break
        try:
            complete.append(value_of(Model.load(folder)) == 1)
        except (FileNotFoundError, ModelError) as error:
            assert "no model folder" in str(error) or "saving it was interrupted" in str(error)
            complete.append(False)
        make(0).save(folder)
        assert len(list(folder.iterdir())) == 4
        step += 1
    assert complete == sorted(complete) and set(complete) == {False, True}


def test_killed_at_every_step_of_a_file_in_parts(tmp_path):
    recommend(tmp_path, 0)
    whole = (tmp_path / "recs.csv").read_bytes()
    step = 0
    while killed_at(step, functools.partial(recommend, tmp_path, 0)):
        recommend(tmp_path, 0)
        assert (tmp_path / "recs.csv").read_bytes() == whole
        assert os.listdir(tmp_path) == ["recs.csv"]
        step += 1
    assert step > 15


def fit(folder, update):
    return trainer(n_epochs=4, update=update, random_state=0).fit(TRAIN, checkpoint=folder)


@pytest.mark.parametrize("update", ["sync", "async"])
@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_every_step_of_a_training(tmp_path, update, every):
    """It goes on from its checkpoint, is killed again two steps later, and ends with the same bits.

    A process that goes on where nothing was written yet begins anew.
    """
    expected = vectors(fit(tmp_path / "whole", update))
    step = 1
    while True:
        folder = tmp_path / f"killed-{step}"
        if not killed_at(step, lambda: fit(folder, update)):  # noqa: B023
            break
        is_begun = (folder / "checkpoint.json").exists()
        if is_begun:
            killed_at(2, lambda: Trainer.resume(folder, TRAIN))  # noqa: B023
        resumed = Trainer.resume(folder, TRAIN) if is_begun else fit(folder, update)
        assert np.array_equal(vectors(resumed), expected)
        step += every
    assert step > 40
