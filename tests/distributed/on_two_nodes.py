"""The loss of a node of a Ray cluster, with all that its object store holds: run by `test_ray`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import ray
from ray.cluster_utils import Cluster

from benchmarks.common.simulated_workers import simulated
from cml_fast import Trainer, distributed
from cml_fast.data import synthetic
from cml_fast.distributed import _driver

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

LIKES = synthetic(200, 120, 4000).interactions
NODE = {"num_cpus": 1, "object_store_memory": 100 << 20}
# Nothing is kept in the driver's memory instead of the object store.
CONFIGURATION = {
    "max_direct_call_object_size": 0,
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 3,
}


def test_a_lost_node_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []
    beginning = _driver.Driver._beginning

    def counted(self: _driver.Driver) -> Any:
        begun.append(len(begun))
        return beginning(self)

    monkeypatch.setattr(_driver.Driver, "_beginning", counted)
    cluster = Cluster(
        initialize_head=True,
        head_node_args={**NODE, "include_dashboard": False, "_system_config": CONFIGURATION},
    )
    try:
        nodes = [cluster.add_node(**NODE)]
        ray.init(address=cluster.address, log_to_driver=False)

        def lose(trainer: Trainer, report: Any) -> None:
            if report.epoch == 1 and len(nodes) == 1:
                cluster.remove_node(nodes[0], allow_graceful=False)
                nodes.append(cluster.add_node(**NODE))

        trainer = Trainer(
            n_dims=16, n_epochs=4, temperature=0.3, user_retention=1.0, n_threads=1, verbose=False
        )
        model = distributed.fit(LIKES, trainer, n_workers=2, callbacks=[lose])
    finally:
        ray.shutdown()
        cluster.shutdown()
    users, items = simulated(LIKES, trainer, 2)
    np.testing.assert_array_equal(model.user_vectors, users)
    np.testing.assert_array_equal(model.item_vectors, items)
    assert len(nodes) == 2
    assert len(begun) > 1  # the copies were lost as well
