"""The page of the benchmarks: which results it takes, and what it says of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as suite
from benchmarks.report import __main__ as report
from benchmarks.report import accuracy_section, figures, markdown

MACHINE = {"processor": "a processor", "cores": 2, "python": "3.12", "numpy": "2.4"}


def record(**rows):
    """An accuracy record: recall@50 of each row and seed; other metrics follow from it."""
    return {
        "date": "2026-11-26",
        "command": "python -m benchmarks.accuracy",
        "machine": MACHINE,
        "packages": {"implicit": "0.7"},
        "trials": 3,
        "seeds": [0, 1],
        "results": {
            "citeulike-t": {
                "k": 20,
                "rows": {
                    name: {
                        "most_epochs": 3,
                        "seconds": 120,
                        "users": 5000,
                        "seeds": list(range(len(values))),
                        "epochs": [1 + seed for seed in range(len(values))],
                        "recall@20": [value / 2 for value in values],
                        "recall@50": values,
                        "recall@100": [value * 1.2 for value in values],
                        "ndcg@20": [value / 3 for value in values],
                    }
                    for name, values in rows.items()
                },
                "left_out": {
                    "WARP (LightFM)": "no LightFM here",
                    "VBPR (Cornac)": "no features",
                    "hybrid WARP (LightFM)": "no LightFM here",
                },
                "compared": {
                    "CML, softmax": {
                        "against": "EASE",
                        "users": 5000,
                        "difference": -0.01,
                        "better": 1400,
                        "worse": 1600,
                        "p": 0.002,
                    }
                },
            }
        },
    }


ROWS = {"EASE": [0.31, 0.33], "CML, softmax": [0.30, 0.32], "CML+F, softmax": [0.4, 0.4]}


def test_accuracy_s_table_is_sorted_and_says_what_is_worse(tmp_path):
    pictures = figures.Figures(tmp_path / "page.md", tmp_path / "pictures")
    text = accuracy_section.section(record(**ROWS), pictures)
    lines = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert [line.split(" | ")[0] for line in lines[1:4]] == [
        "| CML+F, softmax (+F)",
        "| EASE",
        "| CML, softmax",
    ]
    assert "**0.3200 ± 0.0141**" in lines[2] and "**" not in lines[3]
    assert lines[2].endswith("| 2 |")  # minutes of 120 s
    assert (
        "CML, softmax is behind the best peer, EASE, by 0.0100 in recall@20 "
        "(p = 0.002; better for 1,400 of 5,000 users, worse for 1,600)." in text
    )
    absent = "Left out: WARP (LightFM), hybrid WARP (LightFM) (no LightFM here); VBPR (Cornac) (no"
    assert absent in text
    assert "](pictures/accuracy-citeulike-t.png)" in text
    assert (tmp_path / "pictures" / "accuracy-citeulike-t.png").stat().st_size > 5000


def test_what_stopped_too_early_is_said(tmp_path):
    pictures = figures.Figures(tmp_path / "page.md", tmp_path / "pictures")
    made = record(**ROWS)
    assert "still rising" not in accuracy_section.section(made, pictures)
    rows = made["results"]["citeulike-t"]["rows"]
    rows["EASE"]["most_epochs"], rows["CML, softmax"]["most_epochs"] = 1, 2
    assert (
        "The recall of CML, softmax (2) was still rising at the epoch limit"
        in accuracy_section.section(made, pictures)
    )


def test_rows_of_an_earlier_result_are_named_with_its_date(tmp_path):
    pictures, made = figures.Figures(tmp_path / "page.md", tmp_path / "pictures"), record(**ROWS)
    assert "Measured earlier" not in accuracy_section.section(made, pictures)
    made["results"]["citeulike-t"]["kept"] = {"from": "2026-11-01", "rows": ["EASE"]}
    text = accuracy_section.section(made, pictures)
    assert "Measured earlier, on 2026-11-01: EASE." in text


def test_the_newest_results_make_the_page_and_the_readme(tmp_path, capsys):
    for date, rows in (("2026-11-25", {"EASE": [0.1, 0.1]}), ("2026-11-26", ROWS)):
        (tmp_path / f"accuracy-{date}.json").write_text(json.dumps(record(**rows)))
    (tmp_path / "accuracy-of-another-kind.json").write_text("{}")
    page, readme = tmp_path / "docs" / "page.md", tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    arguments = ["--results", tmp_path, "--page", page, "--readme", readme]
    for _ in range(2):  # the second time over its own words
        report.main([str(argument) for argument in arguments])
        before, *rows, after = readme.read_text().splitlines()
        assert (before, after) == ("before", "after")
        assert "old" not in rows
        assert "| recall@20, citeulike-t | 0.155 (CML, softmax) | **0.160 (EASE)** |" in rows
    assert "CML, softmax is behind" in page.read_text()


def test_a_section_without_results_is_left_out(tmp_path, capsys):
    page, readme = tmp_path / "page.md", tmp_path / "README.md"
    readme.write_text(f"{report.BEGIN}{report.END}")
    arguments = ["--results", str(tmp_path), "--page", str(page), "--readme", str(readme)]
    report.main(arguments)
    assert "## " not in page.read_text()
    assert "no accuracy-DATE.json" in capsys.readouterr().err


def test_the_readme_does_not_call_chance_a_win():
    made = record(EASE=[0.30, 0.31], **{"CML, softmax": [0.31, 0.31]})
    compared = made["results"]["citeulike-t"]["compared"]["CML, softmax"]
    ((_, ours, theirs),) = accuracy_section.summary(made)
    assert ours.startswith("**") and not theirs.startswith("**")
    compared["p"] = 0.3
    ((what, ours, theirs),) = accuracy_section.summary(made)
    assert what == "recall@20, citeulike-t (no significant difference)"
    assert (ours, theirs) == ("0.155 (CML, softmax)", "0.152 (EASE)")


def test_a_readme_without_marks_is_refused():
    with pytest.raises(SystemExit, match="the README has no <!-- benchmarks -->"):
        report.into_readme("# A page\n", [])


def test_the_page_in_docs_is_what_the_results_say(tmp_path):
    """Words, numbers and the README's table; pictures depend on the version of matplotlib."""
    page, readme = tmp_path / "benchmarks.md", tmp_path / "README.md"
    readme.write_text(f"{report.BEGIN}{report.END}")
    report.main(["--page", str(page), "--readme", str(readme)])
    assert page.read_text() == (report.ROOT / "docs" / "benchmarks.md").read_text()
    table = readme.read_text().splitlines()[1:-1]
    assert 3 <= len(table) <= 2 + 8
    assert any("(BPR (implicit))**" in row for row in table)  # a loss of ours
    pictures = {path.name for path in (report.ROOT / "docs" / "benchmarks").glob("*.png")}
    assert {path.name for path in (tmp_path / "benchmarks").glob("*.png")} == pictures


def test_an_origin_has_machine_date_versions_and_command():
    text = markdown.origin(record())
    for part in ("2026-11-26", "a processor", "2 cores", "implicit 0.7", "    python -m"):
        assert part in text


@pytest.mark.parametrize("code", [0, 1])
def test_the_suite_runs_all_and_says_what_failed(tmp_path, monkeypatch, capsys, code):
    commands = []

    def run(command):
        commands.append(command)
        out = Path(command[command.index("--out") + 1])
        out.parent.mkdir(parents=True, exist_ok=True)
        if "benchmarks.accuracy" in command and code == 0:
            out.write_text(json.dumps(record(**ROWS)))
        return subprocess.CompletedProcess(command, code if "benchmarks.accuracy" in command else 0)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--quick"])
    if code:
        with pytest.raises(SystemExit, match="failed: accuracy"):
            suite.main()
    else:
        suite.main()
    assert [command[2].partition(".")[2] for command in commands] == list(report.SECTIONS)
    assert ("--settings" in commands[1]) == (code == 0)  # what the first has chosen
    assert ("CML, softmax is behind" in Path("build/quick/benchmarks.md").read_text()) == (
        code == 0
    )
