"""What gpu-profile makes of Nsight Compute's answers, without a GPU."""

import pytest

from benchmarks.gpu_check.kinds import BFLOAT16
from benchmarks.gpu_check.process import Finished
from benchmarks.gpu_profile import __main__ as gpu_profile
from benchmarks.gpu_profile import launches

HEADER = '"ID","Kernel Name","Section Name","Metric Name","Metric Unit","Metric Value"\n'


def details(**kernels):
    """A page of ncu: for each kernel, names, units and values."""
    rows = [
        f'"{number}","{kernel}","a section","{name}","{unit}","{value}"\n'
        for number, (kernel, numbers) in enumerate(kernels.items())
        for name, unit, value in numbers
    ]
    return '==PROF== Connected\n{"a": 1}\n' + HEADER + "".join(rows)


BUSY = [
    ("Duration", "msecond", "1.5"),
    ("Compute (SM) Throughput", "%", "31.2"),
    ("L1/TEX Cache Throughput", "%", "92.7"),
    ("DRAM Throughput", "%", "2"),
    ("L1/TEX Hit Rate", "%", "95.0"),
    ("Memory Frequency", "hz", "1,200,000"),
    ("Function Cache Configuration", "", "CachePreferNone"),
    ("", "", ""),
]
WAITING = [
    ("L2 Cache Throughput", "%", "21"),
    ("Compute (SM) Throughput", "%", "12"),
    ("Stall Long Scoreboard", "inst", "7.5"),
    ("smsp__average_warps_issue_stalled_barrier_per_issue_active.ratio", "inst", "2.25"),
    ("Achieved Occupancy", "%", "25"),
]


def test_numbers_of_kernels():
    busy, waiting = gpu_profile.kernels_of(details(sync_kernel=BUSY, apply_kernel=WAITING))
    assert (busy["kernel"], waiting["kernel"]) == ("sync_kernel", "apply_kernel")
    assert busy["Memory Frequency"] == 1_200_000
    assert busy["Duration unit"] == "msecond"
    assert "Function Cache Configuration" not in busy
    assert gpu_profile.kernels_of("==ERROR== no kernel\n") == []


def test_what_bounds_a_kernel():
    table = details(a=BUSY, b=WAITING, c=[("Duration", "usecond", "3")])
    busy, waiting, unknown = map(gpu_profile.bound_of, gpu_profile.kernels_of(table))
    assert busy == "L1 and the load unit, used by 93%; L1/TEX Hit Rate 95%"
    assert waiting == (
        "waiting: of all units the L2 cache is used most, by 21%; warps wait longest for: "
        "long scoreboard; Achieved Occupancy 25%"
    )
    assert unknown.startswith("unknown")


@pytest.fixture
def ncu(monkeypatch, tmp_path):
    """A function that sets what ncu prints; returns its commands."""

    def answer(stdout, returncode=0, stderr=""):
        commands = []

        def run(command, *_):
            commands.append(command)
            return Finished(returncode, stdout, stderr, 1.0)

        monkeypatch.setattr(gpu_profile, "run", run)
        return commands

    monkeypatch.setattr(gpu_profile, "find_tool", lambda name: f"/cuda/{name}")
    monkeypatch.setattr(gpu_profile, "describe", lambda: {"name": "a GPU"})
    monkeypatch.setattr(gpu_profile, "FOLDER", tmp_path)
    monkeypatch.setattr("sys.argv", ["gpu_profile"])
    return answer


def test_kernels_are_profiled(ncu, capsys, tmp_path):
    commands = ncu(details(sync_kernel=BUSY))
    assert gpu_profile.main() == 0
    assert capsys.readouterr().out == (
        "sync_kernel  1.5 msecond: bound by L1 and the load unit, used by 93%; "
        "L1/TEX Hit Rate 95%\n"
    )
    assert commands[0][0] == "/cuda/ncu"
    assert commands[0][-1] == "benchmarks.gpu_profile.launches"
    assert "sync_kernel" in (tmp_path / "profile.csv").read_text()


@pytest.mark.parametrize(
    ("stdout", "returncode", "said"),
    [
        ("==ERROR== ERR_NVGPUCTRPERM - no permission\n", 1, "reserved to administrators"),
        ("==ERROR== another\n", 1, "exit code 1\n==ERROR== another"),
        ("", 0, "no kernel was profiled"),
    ],
)
def test_why_nothing_was_profiled(ncu, capsys, stdout, returncode, said):
    ncu(stdout, returncode)
    assert gpu_profile.main() == 1
    assert said in capsys.readouterr().err


def test_without_a_profiler_or_a_gpu_it_says_so(ncu, capsys, monkeypatch):
    commands = ncu("")
    monkeypatch.setattr(gpu_profile, "describe", lambda: {"problem": "CuPy: no device"})
    assert gpu_profile.main() == 2
    assert capsys.readouterr().err == (
        "gpu-profile needs a GPU and its profiler. CuPy: no device\n"
    )
    monkeypatch.setattr(gpu_profile, "find_tool", lambda name: None)
    assert gpu_profile.main() == 2
    assert "ncu (Nsight Compute) is neither on PATH" in capsys.readouterr().err
    assert commands == []


def test_every_kind_of_kernel_is_launched():
    launches.main("cpu", 0.005)
    updates = ("sync", "async")
    kinds = {(kind, arguments["update"]) for kind, arguments in launches.CASES}
    assert kinds == {(kind, of) for kind in ("softmax", "warp", BFLOAT16) for of in updates}
