"""Training, evaluation and recommendations by several workers, on a Ray cluster.

Needs the extra ``cml-fast[ray]``.
"""

from ._fit import fit
from ._ranking import evaluate, recommend_all

__all__ = ["evaluate", "fit", "recommend_all"]
