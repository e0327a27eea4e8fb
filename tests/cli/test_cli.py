"""The command line: what each command prints and writes, and its exit codes."""

import contextlib
import json
import os
import re
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
import scipy.sparse as sp

from cml_fast._cli.command import command_of
from cml_fast._cli.commands import COMMANDS
from cml_fast._training.hyperparameters import HYPERPARAMETERS
from cml_fast.data import load_interactions, synthetic
from cml_fast.errors import DeviceUnavailable, TrainingDiverged
from cml_fast.evaluation import evaluate
from cml_fast.model import Model
from cml_fast.trainer import Trainer

QUICK = ("--n-dims", "8", "--n-epochs", "2", "--device", "cpu")


def write_pairs(path, likes, header="user,item"):
    rows, columns = likes.matrix.nonzero()
    pairs = zip(likes.user_ids[rows], likes.item_ids[columns], strict=True)
    path.write_text("\n".join([header, *(f"{user},{item}" for user, item in pairs)]) + "\n")
    return path


@pytest.fixture(scope="module")
def likes():
    return synthetic(40, 30, 300, n_tastes=3, random_state=1).interactions


@pytest.fixture
def file(tmp_path, likes):
    return write_pairs(tmp_path / "likes.csv", likes)


@pytest.fixture
def model(tmp_path, likes):
    """A model with made-up vectors, whose answers are easily computed."""
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((n, 4)).astype(np.float32) for n in likes.matrix.shape)
    made = Model(*vectors, user_ids=likes.user_ids, item_ids=likes.item_ids)
    made.save(tmp_path / "model")
    return made


def refused(outcome, code, *words):
    """Check that a command failed with one line that has these words."""
    assert outcome[:2] == (code, "")
    last = outcome[2].splitlines()[-1]
    assert last.startswith("cml-fast: error: ")
    assert "Traceback" not in outcome[2]
    for word in words:
        assert word in last
    return True


# --- train ------------------------------------------------------------------------------------


def test_train_saves_what_it_reports(run, file, likes, tmp_path):
    code, out, err = run("train", file, "--out", "made", *QUICK, "--random-state", "7", "--json")
    assert code == 0
    result = json.loads(out)
    assert result["model"] == "made"
    assert (result["n_users"], result["n_items"]) == likes.matrix.shape
    assert result["n_interactions"] == 300
    assert [report["epoch"] for report in result["history"]] == [0, 1]
    assert result["device"] == "cpu"
    assert 0.05 < result["temperature"] < 2
    assert "reading" in err and "300 pairs of 40 users" in err
    model = Model.load(tmp_path / "made")
    assert model.item_vectors.shape[1] == 8 + 1
    assert set(model.user_ids) == set(likes.user_ids)


def test_train_prints_text(run, file):
    code, out, _ = run("train", file, "--out", "made", *QUICK)
    assert code == 0
    assert "2 epochs" in out and " at temperature 0." in out and "saved in made" in out


def test_train_passes_every_hyperparameter(run, file, monkeypatch, tmp_path, likes):
    write_tags(tmp_path / "tags.csv", likes)
    given = {}

    monkeypatch.setattr(
        "cml_fast.trainer.Trainer",
        lambda **arguments: given.update(arguments) or Trainer(**arguments),
    )
    wanted = {
        **{"n_dims": 5, "n_negatives": 3, "margin": 0.4, "learning_rate": 0.02},
        **{"max_norm": 2.0, "n_epochs": 1, "device": "cpu", "n_threads": 1},
        **{"random_state": 9, "patience": 4, "validation_users": 20},
        **{"update": "sync", "batch_size": 70, "cov_weight": 0.5, "cov_interval": 999},
        **{"feature_weight": 2.0, "feature_learning_rate": 0.3, "feature_interval": 50},
        **{"feature_warm_up": 1, "n_hidden": 8, "loss": "contrastive"},
        **{"negative_weight": 3.0, "optimizer": "adagrad", "ema_decay": 0.5},
        "learning_rate_decay": 0.3,
        "user_retention": 0.4,
        "popularity_weight": 0.0,
        "weighting": "binary",
        "pairs_per_part": 256,
        "precision": "bfloat16",
    }
    options = [f"--{name.replace('_', '-')}={value}" for name, value in wanted.items()]
    options += ["--validation-share=0.2", "--item-features=tags.csv"]
    code, _, err = run("train", file, "--out", "made", *options)
    assert code == 0, err
    assert given == {**wanted, "temperature": None, "verbose": False}
    code, _, err = run("train", file, "--out", "made", *QUICK, "--overwrite", "--temperature=0.5")
    assert code == 0, err
    assert given["temperature"] == 0.5


def test_train_with_a_validation_share(run, file):
    _, out, _ = run("train", file, "--out", "made", *QUICK, "--validation-share", "0.25", "--json")
    result = json.loads(out)
    assert 200 < result["n_interactions"] < 250
    assert all(0 <= report["recall"] <= 1 for report in result["history"])


def test_train_with_a_validation_file_leaves_out_the_unknown(run, file, tmp_path, likes):
    known = f"{likes.user_ids[0]},{likes.item_ids[-1]}"
    (tmp_path / "later.csv").write_text(f"user,item\n{known}\nnobody,{likes.item_ids[0]}\n")
    code, out, err = run(
        "train", file, "--out", "made", *QUICK, "--validation", "later.csv", "--json"
    )
    assert code == 0
    assert "warning: later.csv: 1 of 2 interactions left out" in err
    assert json.loads(out)["history"][0]["recall"] is not None
    assert len(Model.load(tmp_path / "made").user_ids) == 40


def test_reader_options_reach_the_reader(run, tmp_path):
    (tmp_path / "odd.txt").write_text("5;a;1;x\n1;b;1;y\n4;c;1;x\n4;a;2;y\n5;c;1;x\n")
    reader = ("--format=csv", "--delimiter=;", "--no-header", "--user-column=3")
    reader += ("--item-column=1", "--rating-column=0", "--min-rating=4")
    code, _, err = run("train", "odd.txt", "--out", "made", *QUICK, *reader)
    assert code == 0, err
    model = Model.load(tmp_path / "made")
    assert model.user_ids.tolist() == ["x", "y"]
    assert model.item_ids.tolist() == ["a", "c"]


def test_count_as_item_and_weight_reach_the_reader(run, tmp_path):
    (tmp_path / "users.dat").write_text("2 0 1\n1 2\n")
    counted = ("users.dat", "--format=citeulike", *QUICK, "--json")
    plain = json.loads(run("train", *counted, "--out=a")[1])
    paper = json.loads(run("train", *counted, "--out=b", "--count-as-item")[1])
    assert (plain["n_interactions"], paper["n_interactions"]) == (3, 5)
    (tmp_path / "w.csv").write_text("user,item,w\na,x,1\nb,y,0\nb,x,2\na,z,1\nc,z,1\n")
    code, out, err = run("train", "w.csv", "--weight-column=w", "--out=c", *QUICK, "--json")
    assert code == 0
    assert json.loads(out)["n_interactions"] == 4
    assert err.count("warning:") == 1 and "1 rows of weight 0" in err


@pytest.mark.parametrize("fault", ["file", "foreign folder", "below a file", "damaged model"])
def test_train_refuses_a_bad_out_before_reading(run, tmp_path, fault):
    out = tmp_path / "out"
    if fault == "file":
        out.write_text("mine")
    elif fault == "below a file":
        (tmp_path / "plain").write_text("mine")
        out = tmp_path / "plain" / "out"
    else:
        out.mkdir()
        (out / ("model.json" if fault == "damaged model" else "thesis.txt")).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert refused(run("train", "absent.csv", "--out", out), 3, str(out))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_train_refuses_an_unwritable_out(run, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    assert refused(run("train", "absent.csv", "--out", "locked/made"), 3, "locked/made")


def test_train_replaces_a_model(run, file, tmp_path, model):
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    asked = ("train", file, "--out", "model", *QUICK)
    assert refused(run(*asked), 3, "model has a model", "--overwrite")
    assert {path: path.read_bytes() for path in before} == before
    assert run(*asked, "--overwrite")[0] == 0
    assert Model.load(tmp_path / "model").item_vectors.shape[1] == 8 + 1


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (TrainingDiverged("not finite at epoch 3"), 1, "error: not finite at epoch 3"),
        (KeyError("lost"), 1, "error: unexpected KeyError: 'lost'"),
        (DeviceUnavailable("no CUDA device"), 4, "error: no CUDA device"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_a_failing_training_leaves_nothing(run, file, tmp_path, monkeypatch, error, code, message):
    def fit(self, likes, **_):
        raise error

    monkeypatch.setattr(Trainer, "fit", fit)
    got, out, err = run("train", file, "--out", "made", *QUICK)
    assert (got, out) == (code, "")
    assert err.splitlines()[-1] == f"cml-fast: {message}"
    assert [path.name for path in tmp_path.iterdir()] == ["likes.csv"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--n-dims=0"], ["'--n-dims': must be between 1", "got 0"]),
        (["--n-dims=many"], ["--n-dims", "many"]),
        (["--margin=nan"], ["--margin"]),
        (["--margin=0.4"], ["--margin 0.4 has no effect with --loss softmax"]),
        (["--loss=sofmax"], ["--loss", "softmax", "'sofmax'"]),
        (["--device=tpu"], ["--device", "tpu"]),
        (["--validation-share=1.5"], ["--validation-share", "1.5"]),
        (["--validation-share=x"], ["--validation-share", "'x'"]),
        (["--validation-share=.1", "--validation=likes.csv"], ["not allowed with"]),
        (["--rating-column=item"], ["--rating-column needs --min-rating"]),
        (["--where=event"], ["--where", "must be like event=purchase"]),
        (["--format=xml"], ["--format", "xml"]),
        (["--user=0"], ["--user"]),
        (["--n-dims=8", "--n-dims=9"], ["--n-dims is given", "give it once"]),
        (["--checkpoint", "--resume"], ["--checkpoint needs a value before --resume"]),
        (["--feature-interval=9"], ["--feature-interval 9 has no effect without features"]),
    ],
)
def test_wrong_usage_of_train(run, file, tmp_path, options, words):
    outcome = run("train", file, "--out", "made", "--n-epochs=1", *options)
    assert refused(outcome, 2, *words)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["bad.csv", "No such file"]),
        ("", ["bad.csv", "empty"]),
        ("user,item\na,b\nc\n", ["line 3"]),
        ("who,what\na,b\n", ["user"]),
    ],
)
def test_unusable_data(run, tmp_path, content, words):
    if content is not None:
        (tmp_path / "bad.csv").write_text(content)
    assert refused(run("train", "bad.csv", "--out", "made", *QUICK), 3, *words)
    assert not (tmp_path / "made").exists()


# --- train: checkpoints -----------------------------------------------------------------------


@pytest.fixture
def stopping(monkeypatch):
    """Interrupt every training at the end of its second epoch, for the length of a block."""

    @contextlib.contextmanager
    def stopping():
        with monkeypatch.context() as patch:
            fit = Trainer.fit

            def stop(fitted, report):
                if report.epoch == 1:
                    raise KeyboardInterrupt

            patch.setattr(
                Trainer,
                "fit",
                lambda self, train, callbacks, **given: fit(
                    self, train, callbacks=[*callbacks, stop], **given
                ),
            )
            yield

    return stopping


LONG = ("--n-dims=8", "--n-epochs=4", "--device=cpu", "--n-threads=1", "--validation-share=0.2")
LONG += ("--temperature=0.3",)
KEEPING = ("--out=made", "--checkpoint=run", "--random-state=5")


def test_train_goes_on(run, file, tmp_path, stopping):
    """The same command with --resume, before there is a checkpoint, within and after training."""
    plain = json.loads(run("train", file, *LONG, "--out=plain", "--random-state=5", "--json")[1])
    with stopping():
        code, out, err = run("train", file, *LONG, *KEEPING, "--resume")
    assert (code, out) == (130, "")
    assert err.splitlines()[-2:] == [
        "cml-fast: run has what was learned: add --resume to go on",
        "cml-fast: interrupted",
    ]
    assert not (tmp_path / "made").exists()
    for _ in range(2):
        code, out, err = run("train", file, *LONG, *KEEPING, "--resume", "--overwrite", "--json")
        assert code == 0, err
        assert "going on from run" in err
        result = json.loads(out)
        for each in (plain, result):
            for report in each["history"]:
                report["seconds"] = report["seconds_between"] = 0
        assert result["history"] == plain["history"]
        assert result["best_epoch"] == plain["best_epoch"]
        np.testing.assert_array_equal(
            Model.load(tmp_path / "made").item_vectors, Model.load(tmp_path / "plain").item_vectors
        )


def test_resume_may_change_the_device_and_threads(run, file, stopping, monkeypatch):
    with stopping():
        run("train", file, *LONG, *KEEPING, "--checkpoint-every=0.5")
    given = {}
    resume = Trainer.resume

    def spy(path, train, **options):
        given.update(options)
        return resume(path, train, **options)

    monkeypatch.setattr(Trainer, "resume", spy)
    changed = [*LONG, *KEEPING, "--checkpoint-every=0.5", "--resume"]
    changed[2:4] = ["--device=auto", "--n-threads=2"]
    assert run("train", file, *changed)[0] == 0
    assert (given["device"], given["n_threads"], given["verbose"]) == ("auto", 2, False)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--n-dims=9", "--resume"], 2, ["run", "--n-dims 8, not 9"]),
        (["--random-state=6", "--resume"], 2, ["--random-state 5, not 6"]),
        (["--checkpoint-every=0.5", "--resume"], 2, ["--checkpoint-every 1.0, not 0.5"]),
        (["--validation-share=0.3", "--resume"], 3, ["run", "other training data"]),
        ([], 3, ["run", "not finished", "--resume"]),
        (["--checkpoint=made", "--resume"], 2, ["--checkpoint", "--out"]),
        (["--checkpoint=made/run", "--resume"], 2, ["--checkpoint", "--out"]),
        (["--checkpoint=likes.csv", "--resume"], 3, ["likes.csv", "no checkpoint folder"]),
        (["--checkpoint=likes.csv"], 3, ["likes.csv", "not a folder"]),
        (["--checkpoint=other", "--checkpoint-every=0"], 2, ["--checkpoint-every"]),
        (["--checkpoint=other", "--checkpoint-every=x"], 2, ["--checkpoint-every"]),
    ],
)
def test_checkpoints_that_do_not_fit(run, file, tmp_path, stopping, options, code, words):
    with stopping():
        run("train", file, *LONG, *KEEPING)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    changed = {option.split("=")[0]: option for option in (*LONG, *KEEPING, *options)}
    assert refused(run("train", file, *changed.values()), code, *words)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("resume", [(), ("--resume",)])
def test_train_refuses_a_bad_checkpoint_before_reading(run, tmp_path, resume):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    outcome = run("train", "absent.csv", "--out=made", "--checkpoint=mine", *resume)
    assert refused(outcome, 3, "mine", "not a checkpoint folder")


def test_resume_needs_a_folder(run, file):
    assert refused(run("train", file, *LONG, "--out=made", "--resume"), 2, "--checkpoint DIR")


def test_a_damaged_checkpoint(run, file, tmp_path, stopping):
    with stopping():
        run("train", file, *LONG, *KEEPING)
    next((tmp_path / "run").glob("tables-*")).write_bytes(b"broken")
    outcome = run("train", file, *LONG, *KEEPING, "--resume")
    assert refused(outcome, 3, "tables-", "damaged", "begin anew")


# --- evaluate ---------------------------------------------------------------------------------


def test_evaluate_is_the_evaluation_of_the_library(run, tmp_path, likes, model):
    half = likes.matrix.copy()
    half.data[::2] = 0
    half.eliminate_zeros()
    rest = sp.csr_array(likes.matrix - half)
    rest.eliminate_zeros()
    for name, part in (("test.csv", half), ("seen.csv", rest)):
        write_pairs(tmp_path / name, type(likes)(part, likes.user_ids, likes.item_ids))
    code, out, _ = run(
        "evaluate", "model", "test.csv", "--exclude", "seen.csv", "--k", "3,7", "--json"
    )
    expected = evaluate(model, half, rest, (3, 7)).to_dict()
    assert code == 0
    assert json.loads(out) == pytest.approx(expected)
    code, out, _ = run("evaluate", "model", "test.csv", "--exclude", "seen.csv", "--k", "3")
    assert code == 0 and f"{expected['recall@3']:.4f}" in out
    asked = ("evaluate", "model", "test.csv", "--exclude", "seen.csv", "--json")
    code, out, _ = run(*asked, "--metrics", "map,auc", "--cold-users", "exclude")
    expected = evaluate(model, half, rest, metrics=("map", "auc"), cold_users="exclude").to_dict()
    assert code == 0 and json.loads(out) == pytest.approx(expected)
    refused(run(*asked, "--metrics", "map,f1"), 2, "--metrics must be among", "'f1'")


def test_users_without_likes_get_popular_items(run, tmp_path, model):
    counts = {"user_counts": [1] * 39 + [0], "item_counts": np.arange(30)}
    ids = {"user_ids": model.user_ids, "item_ids": model.item_ids}
    Model(model.user_vectors, model.item_vectors, **ids, **counts).save(tmp_path / "counted")
    asked = ("recommend", "counted", "--user", model.user_ids[39], "--n", "2")
    code, out, err = run(*asked, "--json")
    assert code == 0 and "1 of 1 users have no likes in training" in err
    popular = [{"item": item, "distance": None} for item in model.item_ids[[29, 28]].tolist()]
    assert json.loads(out)["items"] == popular
    code, out, _ = run(*asked)
    assert code == 0 and out.splitlines()[1].split() == ["1", model.item_ids[29], "-"]
    refused(run(*asked, "--cold-users", "error"), 2, "no likes in training", model.user_ids[39])


def test_evaluate_leaves_out_the_unknown(run, tmp_path, likes, model):
    user, item = likes.user_ids[3], likes.item_ids[4]
    (tmp_path / "test.csv").write_text(f"user,item\n{user},{item}\n{user},new\nnew,{item}\n")
    code, out, err = run("evaluate", "model", "test.csv", "--k", "30", "--json")
    assert code == 0
    assert "2 of 3 interactions left out" in err
    assert json.loads(out) == pytest.approx({**json.loads(out), "recall@30": 1.0, "users": 1})
    (tmp_path / "test.csv").write_text("user,item\n1,2\n")
    assert refused(run("evaluate", "model", "test.csv"), 3, "test.csv", "user 1 is not in")


@pytest.mark.parametrize("k", ["0", "ten", "", "10,"])
def test_evaluate_refuses_bad_lengths(run, file, model, k):
    assert refused(run("evaluate", "model", file, f"--k={k}"), 2)


# --- recommend and similar --------------------------------------------------------------------


def test_recommend(run, file, likes, model):
    user = likes.user_ids[5]
    code, out, _ = run("recommend", "model", "--user", user, "--n", "4", "--json")
    rows, distances = model.recommend(5, 4)
    assert code == 0
    assert json.loads(out) == {
        "user": user,
        "items": [
            {"item": likes.item_ids[row], "distance": pytest.approx(float(distance))}
            for row, distance in zip(rows, distances, strict=True)
        ],
    }
    code, out, _ = run("recommend", "model", "--user", user, "--n", "4")
    assert [line.split()[1] for line in out.splitlines()[1:]] == likes.item_ids[rows].tolist()

    _, out, _ = run("recommend", "model", "--user", user, "--n=30", "--exclude", file, "--json")
    shown = [entry["item"] for entry in json.loads(out)["items"]]
    liked = set(likes.item_ids[likes.matrix[[5]].nonzero()[1]])
    assert liked and set(shown) == set(likes.item_ids) - liked
    assert len(shown) == 30 - len(liked)  # no padding where items run out


def test_recommend_to_a_new_person(run, likes, model):
    rows = [3, 11, 4]
    matrix = sp.csr_array((np.ones(3), ([0, 0, 0], rows)), shape=(1, 30))
    vector = model.fold_in_users(matrix)[0]
    found, distances = model.recommend_from_vectors(vector, 30, matrix)
    expected = {
        "likes": likes.item_ids[sorted(rows)].tolist(),
        "items": [
            {"item": likes.item_ids[row], "distance": pytest.approx(float(distance))}
            for row, distance in zip(found[:27], distances[:27], strict=True)  # not what is liked
        ],
    }
    first, second, third = likes.item_ids[rows]
    for given in (
        ["--likes", f"{first},{second},{third}"],
        ["--likes", f'"{first}",{second}', "--likes", third],
        [f"--likes={third},{second},{third},{first}"],
    ):
        code, out, err = run("recommend", "model", *given, "--n", "30", "--json")
        assert (code, err) == (0, "")
        assert json.loads(out) == expected
    _, out, _ = run("recommend", "model", *given, "--n", "4")
    assert [line.split()[1] for line in out.splitlines()[1:]] == likes.item_ids[found[:4]].tolist()


def test_likes_with_odd_ids(run, tmp_path):
    ids = ["a, b", "a", 'c "d"', "é", " e"]
    vectors = np.eye(5, dtype=np.float32)
    Model(vectors, vectors, item_ids=ids).save(tmp_path / "odd")
    for text, wanted in (
        ('"a, b"', {"a, b"}),
        ('a,"a, b"', {"a", "a, b"}),
        ('c "d",é', {'c "d"', "é"}),
        ('"c ""d""", e', {'c "d"', " e"}),
    ):
        code, out, err = run("recommend", "odd", "--likes", text, "--json")
        assert code == 0, err
        result = json.loads(out)
        assert set(result["likes"]) == wanted
        assert {entry["item"] for entry in result["items"]} == set(ids) - wanted
    Model(vectors, vectors, item_ids=[1, 2, -3, 4, 5]).save(tmp_path / "numbers")
    _, out, _ = run("recommend", "numbers", "--likes=-3,4", "--json")
    assert json.loads(out)["likes"] == [-3, 4]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--likes=eve,adam"], 2, ["no item 'eve', 'adam'", "like ", "leave out", "double quotes"]),
        (["--likes=1"], 2, ["no item '1'"]),
        (["--likes="], 2, ["--likes", "must be like", "''"]),
        (["--likes=,"], 2, ["no item '', ''"]),
        (['--likes="a,b'], 2, ["--likes", "must be like"]),
        (["--likes=a\nb"], 2, ["--likes", "must be like"]),
        (["--likes"], 2, ["--likes", "requires an argument", "cml-fast recommend --help"]),
        (["--likes=a", "--user=b"], 2, ["--user", "not allowed with", "--likes"]),
        ([], 2, ["--user", "--likes", "required"]),
        (["--likes=a", "--exclude=likes.csv"], 2, ["--exclude needs users"]),
        (["--user=a", "--user=b"], 2, ["--user is given 2 times"]),
        (["--user=a", "--exclude", "b.csv", "c.csv"], 2, ["c.csv", "repeat it for several"]),
    ],
)
def test_wrong_usage_of_likes(run, file, model, options, code, words):
    assert refused(run("recommend", "model", *options), code, *words)


def test_likes_and_a_bad_number_or_model(run, model, likes):
    liked = f"--likes={likes.item_ids[0]}"
    assert refused(run("recommend", "model", liked, "--n=0"), 2, "--n must be at least 1")
    assert refused(run("recommend", "absent", liked), 3, "absent")


def test_similar(run, likes, model):
    code, out, _ = run("similar", "model", "--item", likes.item_ids[2], "--n=3", "--json")
    assert code == 0
    result = json.loads(out)
    assert result["item"] == likes.item_ids[2]
    expected = likes.item_ids[model.similar_items(2, 3)[0]].tolist()
    assert [entry["item"] for entry in result["items"]] == expected
    _, out, _ = run("similar", "model", "--user", likes.user_ids[2], "--n=3", "--json")
    expected = likes.user_ids[model.similar_users(2, 3)[0]].tolist()
    assert [entry["user"] for entry in json.loads(out)["users"]] == expected


def test_integer_ids(run, tmp_path):
    vectors = np.eye(3, dtype=np.float32)
    Model(vectors, vectors, user_ids=[7, -5, 30], item_ids=[1, 2, 3]).save(tmp_path / "numbers")
    code, out, _ = run("recommend", "numbers", "--user", "-5", "--n", "1", "--json")
    assert code == 0
    assert json.loads(out) == {"user": -5, "items": [{"item": 2, "distance": 0.0}]}
    for text in ("007", "+7", " 7", "7.0", "9" * 30, "x", ""):
        assert refused(run("recommend", "numbers", f"--user={text}"), 2, f"no user {text!r}")
    (tmp_path / "seen.csv").write_text("user,item\n-5,2\n-5,oak\n")  # text because of one id
    _, out, _ = run(
        "recommend", "numbers", "--user", "-5", "--exclude", "seen.csv", "--n=3", "--json"
    )
    assert {entry["item"] for entry in json.loads(out)["items"]} == {1, 3}


def test_unknown_ids(run, model, likes):
    assert refused(run("recommend", "model", "--user", "eve"), 2, "'eve'", likes.user_ids[0])
    assert refused(run("similar", "model", "--item", "eve"), 2, "'eve'", likes.item_ids[0])
    assert refused(run("similar", "model", "--user", "1"), 2, "no user '1'")
    assert refused(run("similar", "model"), 2, "--item", "--user")
    assert refused(run("similar", "model", "--item", likes.item_ids[0], "--n=0"), 2, "--n must be")


def test_threads_reach_the_search(run, file, model, likes):
    user, item = f"--user={likes.user_ids[0]}", f"--item={likes.item_ids[0]}"
    for words in (
        ("recommend", "model", user),
        ("recommend", "model", "--all", "--out=a.csv"),
        ("recommend", "model", f"--likes={likes.item_ids[0]}"),
        ("similar", "model", item),
        ("similar", "model", user),
        ("evaluate", "model", file),
        ("train", file, "--out=made", *QUICK),
    ):
        assert refused(run(*words, "--n-threads=0"), 2, "--n-threads", "between 1 and", "got 0")
        assert run(*words, "--n-threads=1")[0] == 0


def test_unusable_models(run, tmp_path, model):
    assert refused(run("recommend", "absent", "--user", "a"), 3, "absent")
    (tmp_path / "empty").mkdir()
    assert refused(run("info", "empty"), 3, "model.json")
    next((tmp_path / "model").glob("*.safetensors")).write_bytes(b"broken")
    assert refused(run("similar", "model", "--item", "a"), 3, "safetensors", "damaged")


# --- info, help and the process ---------------------------------------------------------------


def test_info(run, model):
    code, out, _ = run("info", "--json")
    assert code == 0
    assert set(json.loads(out)) == {"build"}
    assert "built" in json.loads(out)["build"]["cuda"]
    _, out, _ = run("info", "model", "--json")
    held = json.loads(out)["model"]
    assert (held["n_users"], held["n_items"], held["n_dims"]) == (40, 30, 4)
    assert held["made_by_version"] == model.version
    code, out, _ = run("info", "model")
    assert code == 0 and "n_users: 40" in out and "cuda:" in out


NAMES = tuple(entry.name for entry in COMMANDS)
# More options than these are not read.
MOST_IN_HELP = 40


@pytest.fixture
def wide(monkeypatch):
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 200)


@pytest.mark.parametrize("command", [(), *((name,) for name in NAMES)])
def test_help_has_an_example(run, wide, command):
    code, out, err = run(*command, "--help")
    assert (code, err) == (0, "")
    assert "\n  cml-fast " + (command or ("demo",))[0] in out.split("xample")[1]
    if not command:
        assert all(re.search(rf"│ {name} +[A-Z]", out) for name in NAMES)
        assert all(f"\n  {code}  " in out for code in (0, 1, 2, 3, 4, 130, 141))
        assert run()[1] == out


def options_in(text):
    return set(re.findall(r"│[ *]+(--[a-z-]+)", text))


@pytest.mark.parametrize("name", NAMES)
def test_help_all_has_what_help_hides(run, wide, name):
    few, all_of_them = (options_in(run(name, option)[1]) for option in ("--help", "--help-all"))
    command = command_of(name, import_module(f"cml_fast._cli.commands.{name}").run)
    declared = {param.opts[0]: param for param in command.params if param.opts[0][0] == "-"}
    assert all_of_them == {*declared, "--help"}
    assert few == {"--help", *(option for option, param in declared.items() if not param.hidden)}
    assert {"--json", "--help-all"} <= few
    assert len(few) <= MOST_IN_HELP


def test_every_hyperparameter_is_an_option_of_train(run, wide):
    wanted = {f"--{name}".replace("_", "-") for name, row in HYPERPARAMETERS.items() if row.kind}
    assert wanted <= options_in(run("train", "--help-all")[1])
    assert "--n-dims" in wanted and "--verbose" not in wanted


def test_wrong_commands(run):
    assert refused(run("lern"), 2, "lern", "cml-fast --help")
    assert refused(run("--jsn"), 2, "--jsn")


def python(*argv, **options):
    return subprocess.run(
        [sys.executable, "-m", "cml_fast", *map(str, argv)],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


def test_as_a_process(file, tmp_path):
    done = python("train", file, "--out", tmp_path / "made", *QUICK, "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["history"]) == 2
    failed = python("evaluate", tmp_path / "made", tmp_path / "absent.csv")
    assert failed.returncode == 3
    assert failed.stdout == ""
    assert failed.stderr.splitlines()[-1].startswith("cml-fast: error: ")


@pytest.mark.parametrize("words", [("info", "model"), ("train", "--help")])
def test_a_reader_that_goes_away(tmp_path, model, words):
    reader, writer = os.pipe()
    os.close(reader)
    # Buffered, Python writes once more at exit.
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with os.fdopen(writer, "w") as broken:
        done = subprocess.run(
            [sys.executable, "-m", "cml_fast", *words],
            cwd=tmp_path,
            stdout=broken,
            env=buffered,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    assert (done.returncode, done.stderr) == (141, "")


def test_written_pairs_are_read_back(file, likes):
    """The helper of these tests writes what it is given."""
    assert load_interactions(file).matrix.nnz == likes.matrix.nnz


# Features


def write_tags(path, likes, extra=""):
    rows = [f"{item},{'even' if row % 2 else 'odd'}" for row, item in enumerate(likes.item_ids)]
    path.write_text("\n".join(["id,tag", *rows, extra]))


def test_train_with_features_of_items(run, file, tmp_path, likes):
    write_tags(tmp_path / "tags.csv", likes, "nowhere,odd")
    code, _, err = run("train", file, "--out", "made", *QUICK, "--item-features", "tags.csv")
    assert code == 0, err
    assert "1" in next(line for line in err.splitlines() if "warning" in line)
    model = Model.load(tmp_path / "made")
    assert model.embed_items(np.eye(2, dtype=np.float32)).shape == (2, model.item_vectors.shape[1])
    with pytest.raises(ValueError, match="features of users"):
        model.embed_users(np.eye(2))


def test_features_in_mini_batches_go_on(run, file, tmp_path, likes):
    write_tags(tmp_path / "tags.csv", likes)
    options = ("train", file, *QUICK, "--item-features", "tags.csv", "--checkpoint", "kept")
    assert run(*options, "--out", "made")[0] == 0
    code, _, err = run(*options, "--out", "again", "--resume")
    assert code == 0, err
    ours, theirs = (Model.load(tmp_path / name) for name in ("made", "again"))
    np.testing.assert_array_equal(ours.item_vectors, theirs.item_vectors)


def test_columns_of_features(run, file, tmp_path, likes):
    lines = [f"{at % 2},{item}" for at, item in enumerate(likes.item_ids)]
    (tmp_path / "tags.csv").write_text("\n".join(["genre,item", *lines]))
    asked = ("train", file, "--out", "made", *QUICK, "--item-features", "tags.csv")
    refused(run(*asked), 3, "tags.csv has no column 'id'", "with --feature-id-column")
    asked += ("--feature-id-column=item",)
    refused(run(*asked), 3, "tags.csv has no column 'tag'", "with --tag-column")
    code, _, err = run(*asked, "--tag-column=genre")
    assert code == 0, err
    assert Model.load(tmp_path / "made").embed_items(np.eye(2, dtype=np.float32)).shape == (2, 8)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--item-features", "absent.csv"), 3, "absent.csv"),
        (("--item-features", "tags.csv", "--feature-min-count", "99"), 3, "tags.csv"),
        (("--user-features", "tags.csv"), 3, "tags.csv"),
        (("--item-features", "tags.csv", "--feature-format", "odd"), 2, "feature-format"),
    ],
)
def test_features_that_cannot_be(run, file, tmp_path, likes, options, code, message):
    write_tags(tmp_path / "tags.csv", likes)
    got, _, err = run("train", file, "--out", "made", *QUICK, *options)
    assert got == code
    assert message in err
    assert not (tmp_path / "made").exists()
