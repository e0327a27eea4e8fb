"""The speed benchmark: its counts, its clocks, the baselines in PyTorch, and a tiny run of all."""

import itertools
import json
import math
import sys
import time
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks.common.measurement_store import LeftOut
from benchmarks.recommenders import Data, lightfm_models
from benchmarks.recommenders.pytorch_cml import TorchCML
from benchmarks.report import throughput_section as report
from benchmarks.report.figures import Figures
from benchmarks.throughput import __main__ as throughput
from benchmarks.throughput import contestants, speed_comparison, sweeps, time_to_recall
from benchmarks.throughput.kernel_speed import launches, measure
from benchmarks.throughput.limits import limits, pair_cost, shared_pair_cost
from benchmarks.throughput.training_data import Size, random_likes
from cml_fast.data import synthetic

LIKES = synthetic(60, 90, 900, random_state=3).interactions.matrix


# --- our kernels --------------------------------------------------------------------------------


def test_the_bytes_of_a_pair_count_the_padding():
    assert pair_cost(0.0, 100, 20)["bytes"] == 22 * 112 * 4
    assert pair_cost(1.0, 100, 20)["bytes"] == (22 + 9) * 112 * 4
    assert pair_cost(0.0, 113, 20)["bytes"] - pair_cost(0.0, 112, 20)["bytes"] == 22 * 16 * 4


def test_shared_negatives_cost_three_products_and_few_bytes():
    assert shared_pair_cost(100, 256, 128)["flops"] == 3 * 2 * 256 * 100
    assert shared_pair_cost(100, 256, 128)["bytes"] == 2 * (2 + 256 / 128) * 112 * 4


@pytest.mark.parametrize("unit", [1, 128, 1024, 65536])
@pytest.mark.parametrize("n_pairs", [1, 800_000, 11_900_000, 20_000_000, 19_999_999])
def test_launches_are_of_whole_units_and_of_one_size(n_pairs, unit):
    bounds = launches(n_pairs, unit, 5, 2_000_000)
    assert len(bounds) == 6
    assert bounds[0][0] == 0
    assert all(one[1] == next_[0] for one, next_ in itertools.pairwise(bounds))
    assert len({end - begin for begin, end in bounds}) == 1
    for _, end in bounds:
        position = end % n_pairs
        assert position == 0 or (end < n_pairs and position % unit == 0)


def test_likes_of_the_timed_kernels():
    likes = random_likes(Size(300, 400, 5000))
    assert likes.shape == (300, 400)
    assert 4000 < likes.nnz < 5000
    assert sp.csr_array(likes.sum(axis=0)[None]).max() > 3 * likes.nnz / 400
    assert likes.has_canonical_format


@pytest.mark.parametrize("loss", ["warp", "softmax"])
@pytest.mark.parametrize("update", ["async", "sync"])
def test_a_kernel_is_timed(loss, update, clock):
    likes = random_likes(Size(300, 400, 20_000))
    found = measure("cpu", likes, 2, 3000, loss=loss, update=update, n_dims=20, n_threads=1)
    pairs = found["samples"][0]["pairs"]
    assert [sample["pairs"] for sample in found["samples"]] == [pairs] * 2
    assert 2000 < pairs <= 3000
    speed = pairs * 1024 if clock else math.inf  # one step of the clock for each launch
    assert found["range"] == [speed, speed] and found["pairs_per_second"] == speed
    assert found["bytes_per_second"] == found["pairs_per_second"] * found["pair_cost"]["bytes"]
    if loss == "warp":
        assert 0.5 < found["pair_cost"]["active_share"] <= 1


def test_limits_of_this_machine(clock):
    found = limits("cpu", 1e-3)
    size = found["cache_copy_bytes"]
    assert size == 1 << 19
    assert found["cache_bytes_per_second"] == (2 * size * 1024 if clock else math.inf)
    assert found["memory_bytes_per_second"] >= found["cache_bytes_per_second"]  # as many steps
    assert found["flops"] == (5 * 2 * 1024**3 * 1024 if clock else math.inf)


def test_what_is_too_much_for_the_memory_is_left_out():
    with pytest.raises(LeftOut, match=r"it takes 1000000\.0 GB, and .* GB are free"):
        sweeps.check_memory("cpu", 10**15)
    sweeps.check_memory("cpu", 1)


def test_growth_is_the_line_through_points_on_one():
    points = [
        {"pairs": n, "cpu_seconds": 0.5 + 2e-6 * n, "wall_seconds": 9.0}
        for n in (10**5, 10**6, 10**8)
    ]
    found = sweeps.growth(points, "cpu")
    assert found["fixed"] == pytest.approx(0.5) and found["per_pair"] == pytest.approx(2e-6)
    assert found["off"] < 1e-6
    for point, seconds in zip(points, (0.1, 1.0, 120.0), strict=True):  # a little more than linear
        point["cpu_seconds"] = seconds
    assert 0.05 < sweeps.growth(points, "cpu")["off"] < 0.15
    points[0]["cpu_seconds"] = 0.0
    assert sweeps.growth(points, "cpu") is None  # too short to time


# --- time to a recall ---------------------------------------------------------------------------

CURVE = {"cpu_seconds": [1.0, 2.0, 4.0], "recall": [0.1, 0.3, 0.2]}


@pytest.mark.parametrize(
    ("recall", "seconds"), [(0.1, 1.0), (0.05, 1.0), (0.2, 1.5), (0.3, 2.0), (0.31, None)]
)
def test_the_time_to_a_recall(recall, seconds):
    found = time_to_recall.seconds_to(CURVE, recall)
    assert found == (None if seconds is None else pytest.approx(seconds))


def test_ours_are_timed_to_the_recall_of_the_peer():
    ours, slow = list(time_to_recall.OURS)[:2]
    curves = {
        ours: [{"cpu_seconds": [0.1, 0.2], "recall": [0.2, 0.396]}],
        slow: [{"cpu_seconds": [0.1, 0.2], "recall": [0.1, 0.2]}],
    }
    peer = {"cpu_seconds": [1.0, 3.0, 4.0], "recall": [0.1, 0.4, 0.4]}
    found = time_to_recall.times([peer], curves)
    assert found["best"] == [0.4]
    assert found["seconds"] == [pytest.approx(1 + 2 * (0.396 - 0.1) / 0.3)]
    assert found["ours"][ours]["ratios"] == [pytest.approx(0.2 / found["seconds"][0])]
    assert found["ours"][slow]["ratios"] is None


def test_a_time_to_recall_of_zero_has_no_ratio():
    ours = next(iter(time_to_recall.OURS))
    curve = {"cpu_seconds": [0.0, 0.0], "recall": [0.1, 0.4]}
    found = time_to_recall.times([curve], {ours: [curve]})
    assert found["seconds"] == [0.0] and found["ours"][ours]["seconds"] == [0.0]
    assert math.isnan(found["ours"][ours]["ratios"][0])


def test_a_curve_counts_training_alone_and_ends(steady_clock):
    def recall(scores):
        for _ in range(100):  # takes a hundred steps, which do not count
            time.process_time()
        return scores.value

    class Scores:
        cpu_seconds = None

    curve = time_to_recall.Curve(recall, patience=2, most=10)
    ends = []
    for value in (0.1, 0.3, 0.2, 0.3):
        scores = Scores()
        scores.value = value
        ends.append(curve.add(scores))
    assert ends == [False, False, False, True]
    found = curve.to_dict()
    assert found["recall"] == [0.1, 0.3, 0.2, 0.3] and not found["cut_short"]
    assert found["cpu_seconds"] == [n / 1024 for n in (1, 2, 3, 4)]


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
    found = speed_comparison.summary(rounds, "cpu")
    assert found["rates"]["a peer"] == {"median": 18.75, "range": [12.5, 25.0]}
    assert found["ratios"]["paper's loss"]["a peer"] == {"median": 4.0, "range": [4.0, 4.0]}
    assert "gone" not in found["rates"]
    assert found["two_threads"]["paper's loss, 2 threads"]["median"] == 1.6
    cost = pair_cost(0.5, contestants.N_DIMS, contestants.N_NEGATIVES)
    assert found["reached"]["copy"]["range"] == pytest.approx([100 * cost["bytes"] / 1e9] * 2)
    assert found["reached"]["flops"]["median"] == pytest.approx(100 * cost["flops"] / 1e9)


def test_settings_of_peers_come_from_the_accuracy_benchmark(tmp_path):
    rows = {"WRMF (implicit)": {"settings": {"alpha": 7.0}}}
    file = tmp_path / "accuracy.json"
    file.write_text(json.dumps({"results": {"citeulike-t": {"rows": rows}}}))
    assert time_to_recall.tuned(file, "citeulike-t") == {"WRMF (implicit)": {"alpha": 7.0}}
    assert time_to_recall.tuned(file, "gowalla") == time_to_recall.tuned(None, "citeulike-t") == {}


# --- PyTorch ------------------------------------------------------------------------------------


def trained(n_steps, **variant):
    torch = pytest.importorskip("torch", reason="the baselines need torch")
    if variant.get("mode") == "compiled":
        torch._dynamo.reset()
    model = TorchCML(Data(LIKES), 0, n_dims=7, n_negatives=5, batch_size=128, **variant)
    before = [table.copy() for table in model.vectors()]
    pairs = model.pairs[:, torch.arange(LIKES.nnz).reshape(-1, 9)[:, 0]]
    for _ in range(n_steps):
        model.step(pairs)
    return before, pairs.numpy(), model.vectors()


@pytest.mark.filterwarnings("ignore")  # of PyTorch's compiler
@pytest.mark.parametrize("mode", ["eager", "compiled"])
@pytest.mark.parametrize("sparse", [False, True])
def test_all_ways_of_pytorch_train_alike(mode, sparse):
    _, _, expected = trained(5)
    try:
        _, _, found = trained(5, mode=mode, sparse=sparse)
    except Exception as error:
        if mode == "eager" or "compiler" not in str(error).lower():
            raise
        pytest.skip(f"PyTorch cannot compile here: {error}")
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_steps_of_pytorch_are_the_paper_s():
    """Hinge loss of the hardest negative, weighted by the estimated rank, AdaGrad, unit ball. The
    second step shows the weights: the length of AdaGrad's first one does not depend on them."""
    torch = pytest.importorskip("torch", reason="the baselines need torch")
    tables, (user, positive), found = trained(2)
    generator = torch.Generator().manual_seed(0)
    for table in tables:  # as the constructor draws
        torch.empty(table.shape).normal_(generator=generator)
    sums = [np.zeros_like(table) for table in tables]
    for _ in range(2):
        negatives = torch.randint(90, (len(user), 5), generator=generator).numpy()
        gradients = gradients_of(*tables, user, positive, negatives)
        for table, gradient, total in zip(tables, gradients, sums, strict=True):
            total += gradient**2
            table -= 0.1 * gradient / (np.sqrt(total) + 1e-10)
            table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1)
    for table, new in zip(tables, found, strict=True):
        np.testing.assert_allclose(new, table, atol=1e-5)


def gradients_of(users, items, user, positive, negatives):
    liked = LIKES.toarray()[user[:, None], negatives] > 0
    near = ((users[user] - items[positive]) ** 2).sum(1)
    far = ((users[user][:, None] - items[negatives]) ** 2).sum(2)
    far[liked] = np.inf
    impostors = (far < 1.25 + near[:, None]).sum(1)
    weight = np.log1p(np.floor(impostors / np.maximum((~liked).sum(1), 1) * 90))
    hardest = negatives[np.arange(len(user)), far.argmin(1)]
    weight = np.where(1.25 + near - far.min(1) > 0, weight, 0)[:, None]
    gradients = [np.zeros_like(users), np.zeros_like(items)]
    u, v, w = users[user], items[positive], items[hardest]
    np.add.at(gradients[0], user, 2 * weight * (w - v))
    np.add.at(gradients[1], positive, 2 * weight * (v - u))
    np.add.at(gradients[1], hardest, 2 * weight * (u - w))
    return gradients


def test_a_batch_of_more_than_all_pairs_is_left_out():
    pytest.importorskip("torch", reason="the baselines need torch")
    variant = {"mode": "eager", "sparse": False, "batch_size": LIKES.nnz + 1}
    with pytest.raises(LeftOut, match="more than all pairs"):
        speed_comparison.try_torch(LIKES, "cpu", 100, variant)


def test_what_pytorch_cannot_do_is_left_out_with_its_words(monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("no compiler\nand more")

    monkeypatch.setattr(speed_comparison, "Torch", fail)
    with pytest.raises(LeftOut, match=r"^RuntimeError: no compiler$"):
        speed_comparison.try_torch(LIKES, "cpu", 100, {"batch_size": 10})


def test_an_epoch_of_pytorch_sees_each_pair_once(monkeypatch):
    pytest.importorskip("torch", reason="the baselines need torch")
    model = TorchCML(Data(LIKES), 0, batch_size=250)
    seen = []
    monkeypatch.setattr(model, "step", lambda pairs: seen.append(pairs.numpy()))
    model.epoch()
    assert [batch.shape[1] for batch in seen] == [250, 250, 250, 150]
    users, items = np.concatenate(seen, axis=1)
    assert sp.coo_array((np.ones(900), (users, items)), shape=LIKES.shape).tocsr().nnz == 900


def test_lightfm_trains_in_its_own_python():
    if reason := lightfm_models.why_absent():
        pytest.skip(reason)
    with lightfm_models.Worker("warp", Data(LIKES), {"no_components": 6}, seed=0) as worker:
        taken = worker.fit(3)
        scores = worker.scores(taken["cpu_seconds"])
    assert set(taken) == {"cpu_seconds", "wall_seconds"}
    assert scores.users.shape == (60, 7) and scores.items.shape == (90, 7)


# --- all of it ----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # of PyTorch's compiler
def test_a_tiny_run_goes_on_where_it_ended_and_is_shown(tmp_path, monkeypatch, capsys, clock):
    monkeypatch.setattr(
        throughput,
        "QUICK",
        replace(
            throughput.QUICK,
            data=("synthetic",),
            recall_data=("synthetic",),
            torch_pairs=256,
            torch_batches=(128,),
            validation_users=50,
            evaluations=3,
            launch_pairs=2000,
            dims=(16, 33),
            negatives=(1, 20),
            shared_negatives=(64,),
            batches=(128,),
            items=(10_000,),
            pairs=(100_000, 1_000_000),
        ),
    )
    monkeypatch.setattr(speed_comparison, "why_not", lambda what, device: "not for this test")
    absent = "WARP (LightFM)"
    monkeypatch.setattr(
        time_to_recall,
        "why_absent",
        lambda peer: "not for this test" if peer.name == absent else None,
    )
    # PyTorch, which takes long to load and to compile, with one of the clocks.
    with_torch = clock and find_spec("torch") is not None
    peers = (absent, speed_comparison.PYTORCH) if with_torch else (absent,)
    monkeypatch.setattr(time_to_recall, "PEERS", peers)
    arguments = ["--quick", "--scale", "0.02", "--work", str(tmp_path / "work")]
    records = []
    for n in range(2):
        out = tmp_path / f"{n}.json"
        monkeypatch.setattr(sys, "argv", ["throughput", *arguments, "--out", str(out)])
        throughput.main()
        records.append(json.loads(out.read_text()))
        lines = capsys.readouterr().err.splitlines()
        measured = [line for line in lines if "left out" not in line and "written" not in line]
        assert (len(measured) > 20) if n == 0 else not measured
    first, second = records
    for part in throughput.PARTS:
        assert json.dumps(first[part]) == json.dumps(second[part])  # NaN is not NaN
    assert first["left_out"][absent] == "not for this test"
    assert speed_comparison.TENSORFLOW in first["left_out"]
    found = first["compare"]["synthetic"]
    assert found["rounds"] == 2
    ratio = found["ratios"]["paper's loss, async"]["softmax"]
    assert math.isfinite(ratio["median"]) == clock
    assert all("samples" not in point for point in first["sweeps"]["points"])
    assert ("growth" in first["sweeps"]) == clock

    # The third time one part alone is measured; the others are those of the first time.
    earlier = {**first, "left_out": {**first["left_out"], "ten million items": "no room"}}
    (tmp_path / "0.json").write_text(json.dumps(earlier))
    out = tmp_path / "updated.json"
    updating = ["--parts", "compare", "--update", str(tmp_path / "0.json"), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["throughput", *arguments, *updating])
    throughput.main()
    updated = json.loads(out.read_text())
    assert list(updated["earlier"]) == ["recall", "sweeps"]
    assert updated["left_out"] == earlier["left_out"]
    for origin in updated["earlier"].values():
        assert origin["date"] == first["date"] and origin["command"] == first["command"]
    for part in throughput.PARTS:
        assert json.dumps(updated[part]) == json.dumps(first[part])

    figures = Figures(tmp_path / "page.md", tmp_path / "figures")
    assert report.section(updated, figures).count("\n\nMeasured earlier: ") == 2
    text = report.section(first, figures)
    assert "Measured earlier" not in text
    assert text.startswith("## Speed: ")
    for part in ("WARP (LightFM) (not for this test)", "sweep-dims-negatives.png", "GB/s"):
        assert part in text
    assert (tmp_path / "figures" / "sweep-pairs.png").exists() == clock
    # Three evaluations are no more than its patience: no curve can have come to its end.
    assert "still rising when training was stopped: paper's loss, shared; paper's loss" in text
    if speed_comparison.PYTORCH in found["rates"]:
        assert "CML (PyTorch): the aim of 30 times as fast is" in text


def test_without_public_data_it_says_what_to_do(tmp_path, monkeypatch):
    arguments = ["--data", "gowalla", "--folder", str(tmp_path / "absent"), "--parts", "compare"]
    monkeypatch.setattr(sys, "argv", ["x", *arguments, "--work", str(tmp_path / "work")])
    with pytest.raises(SystemExit, match=r"no folder .*--folder names"):
        throughput.main()


def test_other_likes_of_that_name_do_not_count_as_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(speed_comparison, "run", lambda work, name, *rest: work.once(name, dict))
    monkeypatch.setattr(speed_comparison, "show", lambda *arguments: None)
    file = tmp_path / "likes.csv"
    arguments = ["--quick", "--parts", "compare", "--data", str(file), "--work", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["x", *arguments, "--out", str(tmp_path / "out.json")])
    rows = ["user,item", *(f"u{n % 7},i{n % 11}" for n in range(70))]
    file.write_text("\n".join(rows))
    throughput.main()
    throughput.main()
    file.write_text("\n".join(rows[:-1]))
    with pytest.raises(SystemExit, match="holds measurements with other"):
        throughput.main()


def test_a_gpu_has_no_cpu_seconds_to_a_recall(capsys):
    with pytest.raises(SystemExit):
        throughput.arguments(["--device", "cuda", "--parts", "recall"])
    assert "only with --device cpu" in capsys.readouterr().err
    assert throughput.arguments(["--device", "cuda"]).parts == ("sweeps", "compare")


def test_a_gpu_that_cannot_be_used_is_said_before_anything_is_measured(tmp_path, monkeypatch):
    info = {"cuda": {"problem": "no GPU in this test"}}
    monkeypatch.setattr(throughput, "build_info", lambda: info)
    work = tmp_path / "work"
    monkeypatch.setattr(sys, "argv", ["x", "--quick", "--device", "cuda", "--work", str(work)])
    with pytest.raises(SystemExit, match="--device cuda cannot be used: no GPU in this test"):
        throughput.main()
    assert not work.exists()
