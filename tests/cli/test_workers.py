"""What ``cml-fast train --workers`` refuses; `distributed/on_a_cluster` trains with it."""

import sys

import pytest


@pytest.fixture
def likes(tmp_path):
    lines = ["user,item", *(f"u{n % 7},i{n % 5}" for n in range(35))]
    (tmp_path / "likes.csv").write_text("\n".join(lines))
    return "likes.csv"


def test_without_ray_the_error_names_the_extra(run, likes, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = run("train", likes, "--out", "model", "--workers", 2)
    assert code == 1
    assert err.startswith(
        "cml-fast: error: several workers need Ray: pip install 'cml-fast[ray]' (the import"
    )


def test_an_address_needs_workers(run, likes):
    code, _, err = run("train", likes, "--out", "model", "--ray-address", "auto")
    assert code == 2
    assert "--ray-address needs --workers N" in err


def test_no_workers_are_refused_before_anything_is_read(run, likes):
    pytest.importorskip("ray", reason="Ray is not installed: pip install cml-fast[ray]")
    code, _, err = run("train", likes, "--out", "model", "--workers", 0)
    assert (code, err) == (2, "cml-fast: error: --workers must be at least 1, got 0\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--validation", "likes.csv"), "--validation cannot be used with --workers"),
        (("--validation-share", 0.1), "--validation-share cannot be used with --workers"),
        (("--item-features", "f.csv"), "--item-features cannot be used with --workers"),
        (("--user-features", "f.csv"), "--user-features cannot be used with --workers"),
        (("--checkpoint-every", 0.5), "--checkpoint-every must be 1 with --workers, got 0.5"),
        (("--checkpoint", "s3://likes/going"), "--checkpoint must be a path with --workers"),
        (("--resume",), "--resume needs --checkpoint DIR"),
        (("--cov-weight", 1.0), "trainer has --cov-weight 1.0, which distributed.fit does not"),
        (("--workers", 8), "--workers must be at most the number of users with likes, 7, got 8"),
        (("--ray-address", "nowhere"), "--ray-address must be 'HOST:PORT', 'auto' or 'local'"),
    ],
)
def test_what_workers_cannot_do_is_refused(run, likes, options, message):
    pytest.importorskip("ray", reason="Ray is not installed: pip install cml-fast[ray]")
    if "--workers" not in options:
        options = (*options, "--workers", 2)
    code, _, err = run("train", likes, "--out", "model", *options)
    assert code == 2
    assert f"cml-fast: error: {message}" in err


@pytest.mark.parametrize(
    ("options", "resources"),
    [((), {"CPU": 1}), (("--device", "cuda", "--n-threads", 2), {"CPU": 2, "GPU": 1})],
)
def test_what_each_worker_gets(run, likes, monkeypatch, options, resources):
    pytest.importorskip("ray", reason="Ray is not installed: pip install cml-fast[ray]")
    seen = []

    def fit(train, trainer, **given):
        seen.append(given["resources"])
        raise ValueError("that is enough")

    monkeypatch.setattr("cml_fast.distributed.fit", fit)
    run("train", likes, "--out", "model", "--workers", 2, *options)
    assert seen == [resources]
