"""A training that is submitted as a job to a Ray cluster of two nodes, of which one is lost with
all that its object store holds: run by `test_ray`."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ray.cluster_utils import Cluster
from ray.job_submission import JobStatus, JobSubmissionClient

from benchmarks.common.simulated_workers import simulated
from cml_fast import Model, Trainer
from cml_fast.data import load_interactions, synthetic

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

NODE = {"num_cpus": 1, "object_store_memory": 100 << 20}
# Nothing is kept in the driver's memory instead of the object store.
CONFIGURATION = {
    "max_direct_call_object_size": 0,
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 3,
}
FEW = {"n_dims": 16, "n_epochs": 6, "temperature": 0.3, "user_retention": 1.0, "n_threads": 1}
# Trains with two workers. When a state has been accepted, it waits until a node has been lost.
JOB = """
import json, sys, time
from pathlib import Path
from cml_fast import Trainer
from cml_fast.data import load_interactions
from cml_fast.distributed import _driver, fit

folder, begun = Path(sys.argv[1]), []
beginning = _driver.Driver._beginning

def counted(driver):
    begun.append(len(begun))
    return beginning(driver)

def wait(trainer, report):
    if report.epoch == 3 and not (folder / "lost").exists():
        (folder / "trained").touch()
        while not (folder / "lost").exists():
            time.sleep(0.1)

_driver.Driver._beginning = counted
trainer = Trainer(**json.loads((folder / "settings.json").read_text()), verbose=False)
likes = load_interactions(folder / "likes.csv")
fit(likes, trainer, n_workers=2, address="auto", callbacks=[wait]).save(folder / "model")
(folder / "begun").write_text(str(len(begun)))
"""


def until(client: JobSubmissionClient, job: str, file: Path | None = None) -> None:
    """Wait for a file that the job makes, or for its end."""
    while file is None or not file.exists():
        status = client.get_job_status(job)
        assert status not in (JobStatus.FAILED, JobStatus.STOPPED), client.get_job_logs(job)
        if status == JobStatus.SUCCEEDED:
            assert file is None
            return
        time.sleep(0.2)


def submitted(client: JobSubmissionClient, entrypoint: str) -> str:
    """Submit a job, once a node takes jobs: on a busy machine that takes a while."""
    while True:
        try:
            job: str = client.submit_job(entrypoint=entrypoint)
            return job
        except RuntimeError as error:
            if "No available agent" not in str(error):
                raise
        time.sleep(0.2)


def test_a_lost_node_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "job.py").write_text(JOB)
    (tmp_path / "settings.json").write_text(json.dumps(FEW))
    likes = synthetic(200, 120, 4000).interactions
    rows, columns = likes.matrix.nonzero()
    lines = [f"{row},{column}" for row, column in zip(rows, columns, strict=True)]
    (tmp_path / "likes.csv").write_text("\n".join(["user,item", *lines]))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    head = {**NODE, "include_dashboard": True, "dashboard_host": "127.0.0.1", "dashboard_port": 0}
    cluster = Cluster(
        initialize_head=True, head_node_args={**head, "_system_config": CONFIGURATION}
    )
    try:
        node = cluster.add_node(**NODE)
        client = JobSubmissionClient(f"http://{cluster.head_node.webui_url}")
        job = submitted(client, f"{sys.executable} {tmp_path / 'job.py'} {tmp_path}")
        until(client, job, tmp_path / "trained")
        cluster.remove_node(node, allow_graceful=False)
        cluster.add_node(**NODE)
        (tmp_path / "lost").touch()
        until(client, job)
    finally:
        cluster.shutdown()
    model = Model.load(tmp_path / "model")
    trainer = Trainer(**FEW, verbose=False)
    users, items = simulated(load_interactions(tmp_path / "likes.csv"), trainer, 2)
    np.testing.assert_array_equal(model.user_vectors[:, :-1], users)
    np.testing.assert_array_equal(model.item_vectors[:, :-1], items)
    assert int((tmp_path / "begun").read_text()) > 1  # the copies were lost as well
