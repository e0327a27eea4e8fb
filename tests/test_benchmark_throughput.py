"""The benchmark of speed: what it counts, PyTorch's ways, times to a recall, and a tiny run."""

import dataclasses
import itertools
import json
import shutil
import sys

import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks.peers import ALL, Data, lightfm_models, why_absent
from benchmarks.peers.torch_cml import TorchCML
from benchmarks.ranking import Scores
from benchmarks.report import style
from benchmarks.report import throughput as report
from benchmarks.throughput import __main__ as throughput
from benchmarks.throughput import compare, contestants, kernels, sweeps
from benchmarks.throughput.data import Size, random_likes
from benchmarks.throughput.limits import limits, pair_cost, shared_pair_cost
from benchmarks.throughput.plan import QUICK
from benchmarks.throughput.time_to_recall import Curve, seconds_to, times, tuned
from benchmarks.throughput.work import LeftOut, Work
from cml_fast import reference
from cml_fast.data import synthetic

LIKES = synthetic(80, 60, 1100, random_state=2).interactions.matrix

# --- what a pair costs, and kernels -----------------------------------------------------------


def test_the_bytes_of_a_pair_count_the_padding():
    assert pair_cost(0.0, 100, 20)["bytes"] == 22 * 112 * 4
    assert np.diff([pair_cost(0.0, n, 20)["bytes"] for n in (112, 113)]) == 22 * 16 * 4
    # Three rows of accumulators are read, and six rows written, if a pair changes something.
    assert pair_cost(0.5, 32, 1)["bytes"] == (3 + 0.5 * 9) * 32 * 4
    assert pair_cost(0.5, 32, 1)["flops"] == (3 * 2 + 0.5 * 36) * 32


def test_a_tile_shares_its_negatives():
    cost = shared_pair_cost(100, 256)
    assert cost["flops"] == 3 * 2 * 256 * 100
    assert cost["bytes"] == 2 * (1 + 1 + 256 / 128) * 112 * 4


@pytest.mark.parametrize("unit", [1, 128, 1024, 65536])
@pytest.mark.parametrize("n_pairs", [1, 800_000, 11_900_000, 20_000_000, 19_999_999])
def test_launches_are_of_whole_batches_and_of_one_size(n_pairs, unit):
    bounds = kernels.launches(n_pairs, unit, 5, 2_000_000)
    assert len(bounds) == 6
    assert bounds[0][0] == 0
    assert all(one[1] == next_[0] for one, next_ in itertools.pairwise(bounds))
    (size,) = {end - begin for begin, end in bounds}
    assert size <= max(2_000_000, n_pairs)
    for _, end in bounds:
        position = end % n_pairs
        assert position == 0 or (end < n_pairs and position % unit == 0)


@pytest.mark.parametrize("loss", ["warp", "softmax"])
def test_kernels_are_timed(loss):
    arguments = {"loss": loss, "n_dims": 20, "n_negatives": 9, "n_threads": 1}
    found = kernels.measure("cpu", LIKES, 3, 500, update="async", **arguments)
    low, high = found["range"]
    assert 0 < low <= found["pairs_per_second"] <= high
    assert len(found["samples"]) == 3
    cost = found["pair_cost"]
    if loss == "warp":
        share = cost["active_share"]
        assert 0 < share <= 1
        assert cost["bytes"] == pytest.approx((11 + 9 * share) * 128)
    moved = found["pairs_per_second"] * cost["bytes"]
    assert found["bytes_per_second"] == pytest.approx(moved)


def test_likes_of_the_timed_kernels():
    likes = random_likes(Size(300, 400, 5000))
    assert likes.shape == (300, 400)
    assert 4000 < likes.nnz < 5000
    assert sp.csr_array(likes.sum(axis=0)[None]).max() > 3 * likes.nnz / 400
    assert likes.has_canonical_format


def test_limits_of_this_machine():
    found = limits("cpu", 1e-3)
    assert found["cache_copy_bytes"] == 1 << 19
    assert all(value > 1e6 for name, value in found.items() if name != "cache_copy_bytes")


def test_a_straight_line_is_found_and_what_is_none_is_off():
    pairs = [1e3, 1e4, 1e6]
    on = [{"pairs": n, "cpu_seconds": 0.5 + 2e-6 * n} for n in pairs]
    found = sweeps.growth(on, "cpu")
    assert found["fixed"] == pytest.approx(0.5)
    assert found["per_pair"] == pytest.approx(2e-6)
    assert found["off"] < 1e-6
    curved = [{"pairs": n, "cpu_seconds": 1e-9 * n**1.5} for n in pairs]
    assert sweeps.growth(curved, "cpu")["off"] > 0.1


def test_what_is_too_much_for_the_memory_is_left_out():
    with pytest.raises(LeftOut, match=r"it takes 1000000\.0 GB, and .* GB are free"):
        sweeps.check_memory("cpu", 10**15)
    sweeps.check_memory("cpu", 1)


# --- PyTorch ----------------------------------------------------------------------------------


def torch_model(**options):
    torch = pytest.importorskip("torch", reason="PyTorch's ways need torch")
    options = {"n_dims": 12, "margin": 1.25, "learning_rate": 0.3, **options}
    model = TorchCML(Data(LIKES), 3, **options)
    pairs = model.pairs[:, torch.arange(0, 1000, 25)]
    negatives = torch.randint(60, (40, 7), generator=torch.Generator().manual_seed(1))
    return model, pairs, negatives


def gradients(users, items, pairs, negatives):
    """Of a batch, pair by pair, as the oracle has it."""
    of_users, of_items = np.zeros_like(users), np.zeros_like(items)
    for user, positive, drawn in zip(*pairs.tolist(), negatives.tolist(), strict=True):
        kept = [item for item in drawn if item not in LIKES[[user]].indices]
        u, v = users[user], items[positive]
        far = np.array([reference.squared_distance(u, items[k]) for k in kept])
        asked = reference.warp_loss(reference.squared_distance(u, v), far, 1.25, 60, 1.0)
        if asked.slot >= 0:
            n, weight = items[kept[asked.slot]], 2 * asked.weight
            of_users[user] += weight * (n - v)
            of_items[positive] += weight * (v - u)
            of_items[kept[asked.slot]] += weight * (u - n)
    return of_users, of_items


def test_steps_of_pytorch_are_those_of_the_paper():
    """Two: the first step of AdaGrad has the same length for all gradients."""
    model, pairs, negatives = torch_model()
    tables = [table.astype(np.float64) for table in model.vectors()]
    sums = [np.zeros_like(table) for table in tables]
    for shift in range(2):
        drawn = (negatives + shift) % 60
        for at, gradient in enumerate(gradients(*tables, pairs, drawn)):
            moved = reference.adagrad(tables[at], sums[at], gradient, 0.3, 1e-20)
            tables[at] = np.array([reference.censor(row, 1.0) for row in moved])
        model.train(pairs, drawn)
    for found, expected in zip(model.vectors(), tables, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("mode", ["eager", "compiled"])
@pytest.mark.filterwarnings("ignore")  # of PyTorch's compiler
def test_all_ways_of_pytorch_learn_the_same(mode, sparse):
    if mode == "compiled" and shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler")
    tables = []
    for options in ({}, {"mode": mode, "sparse": sparse}):
        model, pairs, negatives = torch_model(**options)
        for shift in range(3):
            model.train(pairs, (negatives + shift) % 60)
        tables.append(model.vectors())
    for found, expected in zip(tables[1], tables[0], strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_epoch_of_pytorch_sees_each_pair_once(monkeypatch):
    model, _, _ = torch_model(batch_size=300)
    seen = []
    monkeypatch.setattr(model, "step", lambda pairs: seen.append(pairs.numpy()))
    model.epoch()
    assert [batch.shape[1] for batch in seen] == [300, 300, 300, 200]
    users, items = np.concatenate(seen, axis=1)
    assert sp.coo_array((np.ones(1100), (users, items)), shape=LIKES.shape).tocsr().nnz == 1100


def test_what_pytorch_cannot_do_is_left_out_with_its_words(monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("no compiler\nand more")

    monkeypatch.setattr(compare, "Torch", fail)
    with pytest.raises(LeftOut, match=r"^RuntimeError: no compiler$"):
        compare.try_torch(LIKES, "cpu", 100, {"batch_size": 10})
    with pytest.raises(LeftOut, match="more than all pairs"):
        contestants.Torch(LIKES, "cpu", 100, batch_size=1101)
    with pytest.raises(ValueError, match="a CUDA graph needs a GPU"):
        torch_model(mode="graph")


# --- ratios, and times to a recall ------------------------------------------------------------


def test_ratios_are_taken_within_rounds():
    """The second round was on a machine half as fast; no ratio changes."""
    rounds = []
    for slower in (1, 2):
        one = {"pairs": 100, "cpu_seconds": 1.0 * slower, "wall_seconds": 2.0 * slower}
        found = {name: {**one, "active_share": 0.5} for name in contestants.OURS}
        found["paper's loss, 2 threads"] = {**one, "wall_seconds": 1.25 * slower}
        found["a peer"] = {**one, "cpu_seconds": 4.0 * slower}
        found["limits"] = {"flops": 1e9 / slower, "copy": 1e9 / slower}
        rounds.append(found)
    del rounds[1]["softmax"]
    rounds[0]["gone"] = rounds[0]["a peer"]
    rounds[1]["softmax"] = rounds[1]["softmax, async"]
    found = compare.summary(rounds, "cpu")
    assert found["rates"]["a peer"] == {"median": 18.75, "range": [12.5, 25.0]}
    assert found["ratios"]["paper's loss"]["a peer"] == {"median": 4.0, "range": [4.0, 4.0]}
    assert "gone" not in found["rates"]
    assert found["two_threads"]["paper's loss, 2 threads"]["median"] == 1.6
    cost = pair_cost(0.5, contestants.N_DIMS, contestants.N_NEGATIVES)
    assert found["reached"]["copy"]["range"] == pytest.approx([100 * cost["bytes"] / 1e9] * 2)
    assert found["reached"]["flops"]["median"] == pytest.approx(100 * cost["flops"] / 1e9)


CURVE = {"cpu_seconds": [1.0, 2.0, 4.0, 5.0], "recall": [0.1, 0.2, 0.3, 0.25]}


@pytest.mark.parametrize(
    ("recall", "seconds"),
    [(0.05, 1.0), (0.1, 1.0), (0.15, 1.5), (0.2, 2.0), (0.25, 3.0), (0.3, 4.0), (0.31, None)],
)
def test_when_a_recall_is_reached(recall, seconds):
    found = seconds_to(CURVE, recall)
    assert found == (seconds if seconds is None else pytest.approx(seconds))


def test_times_of_ours_are_to_the_recall_of_the_peer():
    slow = {"cpu_seconds": [10.0, 20.0], "recall": [0.1, 0.2]}
    found = times([slow, slow], {"softmax": [CURVE, CURVE], "paper's loss": [CURVE, slow]})
    assert found["best"] == [0.2, 0.2]
    assert found["seconds"] == pytest.approx([19.8, 19.8])
    assert found["ours"]["softmax"]["seconds"] == pytest.approx([1.98, 1.98])
    assert found["ours"]["softmax"]["ratios"] == pytest.approx([0.1, 0.1])
    assert found["ours"]["paper's loss"]["ratios"] == pytest.approx([0.1, 1.0])
    better = {"cpu_seconds": [10.0], "recall": [0.4]}
    assert times([better], {"softmax": [CURVE]})["ours"]["softmax"] == {
        "seconds": [None],
        "ratios": None,
    }


@pytest.mark.parametrize(
    ("recalls", "most", "taken", "cut_short"),
    [([1, 2, 3, 1, 2, 9], 99, 5, False), ([1, 2, 3, 4, 5], 3, 3, True)],
)
def test_a_curve_ends_when_recall_rises_no_more(recalls, most, taken, cut_short):
    values = iter(recalls)
    curve = Curve(lambda scores: next(values), patience=2, most=most)
    scores = Scores(np.empty(0), np.empty(0), cpu_seconds=7.5)
    ended = [curve.add(scores) for _ in range(taken)]
    assert ended == [False] * (taken - 1) + [True]
    found = curve.to_dict()
    assert found["recall"] == recalls[:taken]
    assert found["cpu_seconds"] == [7.5] * taken  # told by another process
    assert found["cut_short"] == cut_short


def test_a_curve_counts_training_and_not_evaluation():
    def spin(seconds):
        clock = contestants.timed("cpu", lambda: None)
        while clock["cpu_seconds"] < seconds:
            more = contestants.timed("cpu", lambda: sum(range(10_000)))
            clock["cpu_seconds"] += more["cpu_seconds"]

    def recall(scores):
        spin(0.3)
        return 0.5

    curve = Curve(recall, patience=9, most=9)
    for _ in range(2):
        spin(0.05)
        curve.add(Scores(np.empty(0), np.empty(0)))
    assert 0.04 < curve.cpu_seconds[0] < 0.2
    assert 0.09 < curve.cpu_seconds[1] < 0.3


def test_settings_of_peers_come_from_the_accuracy_benchmark(tmp_path):
    rows = {"WRMF (implicit)": {"chosen": {"settings": {"alpha": 7.0}}}}
    file = tmp_path / "accuracy.json"
    file.write_text(json.dumps({"results": {"citeulike-t": {"rows": rows}}}))
    assert tuned(file, "citeulike-t") == {"WRMF (implicit)": {"alpha": 7.0}}
    assert tuned(file, "gowalla") == tuned(None, "citeulike-t") == {}


# --- work that is kept ------------------------------------------------------------------------


def test_what_is_measured_is_kept_and_what_is_left_out_is_tried_again(tmp_path, capsys):
    def leave_out():
        raise LeftOut("the reason")

    work = Work(tmp_path, {"epochs": (1, 2)})
    assert work.once("a", lambda: {"x": (1, 2)}) == {"x": [1, 2]}
    assert work.once("b", leave_out) is None
    again = Work(tmp_path, {"epochs": [1, 2]})
    assert again.left_out == {}
    assert again.once("a", leave_out) == {"x": [1, 2]}
    assert again.once("b", lambda: 3) == 3
    assert work.left_out == {"b": "the reason"}
    assert "b is left out: the reason" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="other options"):
        Work(tmp_path, {"epochs": [1, 3]})


def test_nothing_begins_after_the_time_is_over(tmp_path):
    work = Work(tmp_path, {}, seconds=-1.0)
    assert work.once("a", lambda: 1) is None
    assert work.left_out == {"a": "no time was left for it"}


# --- all of it --------------------------------------------------------------------------------

TINY = dataclasses.replace(
    QUICK,
    rounds=2,
    torch_pairs=500,
    torch_batches=(128,),
    validation_users=50,
    evaluations=4,
    launches=2,
    launch_pairs=500,
    dims=(16, 40),
    negatives=(1, 5),
    shared_negatives=(64,),
    batches=(64,),
    items=(10_000,),
    pairs=(100_000, 400_000),
)


@pytest.mark.filterwarnings("ignore")  # of others' packages
def test_a_tiny_run_goes_on_where_it_ended(tmp_path, monkeypatch, capsys):
    eager = {
        name: variant
        for name, variant in contestants.torch_variants("cpu", (128,)).items()
        if variant["mode"] == "eager"
    }
    monkeypatch.setattr(compare, "torch_variants", lambda device, batches: eager)
    monkeypatch.setattr(throughput, "QUICK", TINY)
    monkeypatch.setattr(sweeps, "USERS_OF_MANY_PAIRS", 200)
    arguments = ["--quick", "--scale", "0.005", "--data", "synthetic"]
    arguments += ["--recall-data", "synthetic", "--work", str(tmp_path / "work")]
    records = []
    for n in range(2):
        out = tmp_path / f"{n}.json"
        monkeypatch.setattr(sys, "argv", ["throughput", *arguments, "--out", str(out)])
        throughput.main()
        records.append(json.loads(out.read_text()))
        said = capsys.readouterr().err.splitlines()
        began = [line for line in said if " is left out: " not in line][:-1]
        assert len(began) == (len(work_of(tmp_path)) if n == 0 else 0)
    assert records[0] == records[1]

    record = records[0]
    found = record["compare"]["synthetic"]
    assert len(found["rounds"]) == 2
    assert set(contestants.OURS) <= set(found["rates"])
    assert record["left_out"][compare.TENSORFLOW]
    if why_absent(ALL[compare.PYTORCH]) is None:
        assert set(found["torch"]) == set(eager)
        assert found["best_torch"] in eager
    for peer in ("WARP (LightFM)", "BPR (implicit)", compare.PYTORCH):
        absent = why_absent(ALL[peer]) is not None
        assert (peer in found["rates"]) != absent
        assert (peer in record["recall"]["synthetic"]["times"]) != absent
        assert (peer in record["left_out"]) == absent
    assert {point["sweep"] for point in record["sweeps"]["points"]} == {
        *("dims", "negatives", "threads", "batches", "items", "pairs")
    }
    assert set(record["sweeps"]["growth"]) == {"fixed", "per_pair", "off"}

    figures = style.Figures(tmp_path / "page.md", tmp_path / "pictures")
    text = report.section(record, figures)
    assert text.startswith("## Speed: ")
    assert "the paper's code (TensorFlow) (" in text
    assert len(list((tmp_path / "pictures").glob("*.png"))) == text.count("](pictures/")
    assert all(len(row) == 3 for row in report.summary(record))


def work_of(folder):
    return json.loads((folder / "work" / "measured.json").read_text())["done"]


def test_without_public_data_it_says_what_to_do(tmp_path, monkeypatch):
    arguments = ["--data", "gowalla", "--folder", str(tmp_path / "absent"), "--parts", "compare"]
    monkeypatch.setattr(sys, "argv", ["x", *arguments, "--work", str(tmp_path / "work")])
    with pytest.raises(SystemExit, match="--data synthetic"):
        throughput.main()


def test_a_gpu_has_no_cpu_seconds_to_a_recall(capsys):
    with pytest.raises(SystemExit):
        throughput.arguments(["--device", "cuda", "--parts", "recall"])
    assert "only with --device cpu" in capsys.readouterr().err
    assert throughput.arguments(["--device", "cuda"]).parts == ("sweeps", "compare")


def test_lightfm_trains_in_its_own_python():
    if reason := lightfm_models.why_absent():
        pytest.skip(reason)
    with lightfm_models.Worker("warp", Data(LIKES), {"no_components": 6}, seed=0) as worker:
        taken = worker.fit(3)
        scores = worker.scores(taken["cpu_seconds"])
    assert 0 < taken["cpu_seconds"] < taken["wall_seconds"] + 0.05
    assert scores.users.shape == (80, 7) and scores.items.shape == (60, 7)
