"""Run a planned evaluation of one model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .._threads import blas_threads, thread_count
from ..metrics.measuring import Progress, measure_rankings
from ..metrics.registry import check_known
from ..metrics.result import Evaluation
from ..metrics.segments import item_segments, user_segments
from .held_out import HeldOut
from .plan import Plan
from .progress import Reporting
from .rankings import ways_to_rank


def measure_plan(
    model: Any,
    data: HeldOut,
    plan: Plan,
    progress: bool | Progress = False,
    n_threads: int | None = None,
) -> Evaluation:
    """Rank the items for the users, and measure what the plan says."""
    known = data.known(model)
    check_known(plan.metrics, known)
    by_user: dict[str, np.ndarray] = {}
    by_item: dict[str, np.ndarray] = {}
    if plan.segments:
        if data.user_counts is None or data.item_counts is None:
            raise ValueError("segments=True needs the likes of training: give train=")
        # Users without likes that were left out are in no segment.
        by_user = user_segments(data.user_counts)
        by_item = item_segments(data.item_counts)
    rank, places = ways_to_rank(model, data, n_threads)
    with Reporting(progress) as report, blas_threads(thread_count(n_threads)):
        found = measure_rankings(
            rank,
            data.relevant,
            plan.ks,
            plan.metrics,
            known=known,
            places=places,
            item_segments=by_item,
            progress=report,
        )
    segments = {
        name: found.subset(members[found.users])
        for name, members in by_user.items()
        if members[found.users].any()
    }
    return replace(found, segments={**segments, **found.segments}, cold=data.cold)
