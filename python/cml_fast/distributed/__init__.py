"""Training, evaluation and recommendations by several workers, on a Ray cluster.

Needs the extra ``cml-fast[ray]``.
"""

from ._fit import fit
from ._partitioned import PartitionedModel
from ._ranking import evaluate, recommend_all

__all__ = ["PartitionedModel", "evaluate", "fit", "recommend_all"]
