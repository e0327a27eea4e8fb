"""Likes as scikit-learn's model selection needs them, and what it measures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp

from ._scoring import METRIC, K, check_measure
from ._validation.estimator import Estimator
from ._validation.matrices import check_matrix
from .data.interactions import Interactions
from .errors import DataError

__all__ = ["Pairs", "RankingScore", "WeightTransformer"]


class Pairs:
    """Likes as samples: one pair of a user and an item is one sample.

    scikit-learn takes the rows of a matrix for the samples, and these are users. Cross-validation
    would then hold out whole users. With pairs it holds out some likes of each user. All parts
    keep all users and items, so a trainer that was fitted on one part ranks the likes of another.

    `Trainer.fit` and `Trainer.score` take pairs; so do ``GridSearchCV``, ``RandomizedSearchCV``,
    ``cross_val_score`` and ``train_test_split``.

    Parameters
    ----------
    likes : scipy.sparse matrix or array (n_users, n_items), or Interactions
        Not changed.

    Attributes
    ----------
    likes : scipy.sparse.csr_array or Interactions
        The pairs in the order of the matrix: by user, then by item.
    shape : tuple of int
        ``(n_pairs,)``.

    Raises
    ------
    TypeError, DataError
        If ``likes`` is no sparse matrix, or its values are not finite and positive.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV, KFold
    >>> from cml_fast import Trainer
    >>> from cml_fast.data import synthetic
    >>> from cml_fast.model_selection import Pairs
    >>> pairs = Pairs(synthetic(100, 80, 2000).interactions)
    >>> pairs
    Pairs(2,000 pairs of 100 users x 80 items)
    >>> pairs[:500]
    Pairs(500 pairs of 100 users x 80 items)
    >>> trainer = Trainer(n_dims=8, n_epochs=2, temperature=0.3, device="cpu", verbose=False)
    >>> folds = KFold(3, shuffle=True, random_state=0)
    >>> search = GridSearchCV(trainer, {"n_dims": [1, 16]}, cv=folds).fit(pairs)
    >>> search.best_params_
    {'n_dims': 16}
    """

    def __init__(self, likes: sp.sparray | sp.spmatrix | Interactions) -> None:
        if isinstance(likes, Interactions):
            matrix = check_matrix("likes", likes.matrix)
            if likes.timestamps is not None and matrix.nnz != len(likes.timestamps):
                raise DataError("likes has timestamps for pairs that are duplicates or zeros")
            self.likes: Any = replace(likes, matrix=matrix)
        else:
            self.likes = check_matrix("likes", likes)

    @property
    def shape(self) -> tuple[int]:
        return (self._matrix.nnz,)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        n_users, n_items = self._matrix.shape
        return f"Pairs({len(self):,} pairs of {n_users:,} users x {n_items:,} items)"

    def __getitem__(self, key: Any) -> Pairs:
        """Return some of the pairs, in the order of all pairs.

        Parameters
        ----------
        key : slice, array_like of int, or array_like of bool, (n_pairs,)
            Distinct positions of pairs, in any order; an ellipsis may follow, as scikit-learn has
            it.

        Raises
        ------
        IndexError, ValueError
            If there is no such pair, or one is named twice.
        """
        positions = np.arange(len(self))[key]
        if positions.ndim != 1:
            raise IndexError(f"pairs are indexed by a slice or by several positions, got {key!r}")
        chosen = np.zeros(len(self), dtype=bool)
        chosen[positions] = True
        if chosen.sum() != len(positions):
            raise ValueError("a pair can be chosen only once: a like that is repeated is one like")
        return self._where(chosen)

    def folds(self, splits: Iterable[Iterable[Any]]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Translate splits of the likes into what scikit-learn takes as ``cv``.

        Parameters
        ----------
        splits : iterable of (train, test)
            Parts of the likes, with their shape, each a matrix or Interactions: what
            `data.split` and the other splits return. A like may be missing in both parts.

        Returns
        -------
        list of tuple of numpy.ndarray, int64
            For each split the positions of the pairs of ``train`` and of ``test``.

        Raises
        ------
        TypeError, ValueError, DataError
            If a split has not two parts, or a part has another shape, or pairs that are not among
            these.

        Examples
        --------
        Three random splits, in each of which every user's likes are divided:

        >>> from sklearn.model_selection import cross_val_score
        >>> from cml_fast import Trainer
        >>> from cml_fast.data import split, synthetic
        >>> from cml_fast.model_selection import Pairs
        >>> likes = synthetic(100, 80, 2000).interactions
        >>> pairs = Pairs(likes)
        >>> folds = pairs.folds(split(likes, (0.8, 0.2), random_state=n) for n in range(3))
        >>> trainer = Trainer(n_dims=8, n_epochs=2, temperature=0.3, device="cpu", verbose=False)
        >>> cross_val_score(trainer, pairs, cv=folds).shape
        (3,)
        """
        found = []
        for parts in splits:
            if isinstance(parts, Interactions) or sp.issparse(parts):
                raise TypeError(
                    "splits must be splits (train, test), got a matrix; put a single split into a "
                    "list"
                )
            parts = tuple(parts)
            if len(parts) != 2:
                raise ValueError(f"each split must be (train, test), got {len(parts)} parts")
            train, test = (
                self._positions(name, part)
                for name, part in zip(("train", "test"), parts, strict=True)
            )
            found.append((train, test))
        return found

    @property
    def _matrix(self) -> sp.csr_array:
        matrix: sp.csr_array = self.likes.matrix if self._is_named else self.likes
        return matrix

    @property
    def _is_named(self) -> bool:
        return isinstance(self.likes, Interactions)

    def _where(self, chosen: np.ndarray) -> Pairs:
        """The pairs at which a mask (n_pairs,) is True."""
        matrix = self._matrix
        before = np.concatenate([[0], np.cumsum(chosen)])
        part = sp.csr_array(
            (matrix.data[chosen], matrix.indices[chosen], before[matrix.indptr]),
            shape=matrix.shape,
        )
        pairs = object.__new__(type(self))
        pairs.likes = part
        if self._is_named:
            timestamps = self.likes.timestamps
            timestamps = None if timestamps is None else timestamps[chosen]
            pairs.likes = replace(self.likes, matrix=part, timestamps=timestamps)
        return pairs

    def _positions(self, name: str, part: Any) -> np.ndarray:
        """Where the pairs of a part are among these: ascending, int64."""
        matrix = part.matrix if isinstance(part, Interactions) else part
        mine = _numbers(self._matrix)
        sought = _numbers(check_matrix(name, matrix, self._matrix.shape))
        positions = np.searchsorted(mine, sought)
        if not np.isin(sought, mine).all():
            raise DataError(f"{name} has pairs that are not among those that were to be split")
        return positions.astype(np.int64, copy=False)


@dataclass(frozen=True)
class RankingScore:
    """A metric for the ``scoring`` of scikit-learn's model selection.

    Parameters
    ----------
    metric : str
        A name in `metrics.METRICS`, such as "recall" and "ndcg".
    k : int
        The length of the rankings.

    Raises
    ------
    TypeError, ValueError
        If there is no such metric, or ``k`` is out of range.

    Examples
    --------
    >>> from sklearn.model_selection import cross_validate
    >>> from cml_fast import Trainer
    >>> from cml_fast.data import split, synthetic
    >>> from cml_fast.model_selection import Pairs, RankingScore
    >>> likes = synthetic(100, 80, 2000).interactions
    >>> pairs = Pairs(likes)
    >>> trainer = Trainer(n_dims=8, n_epochs=2, temperature=0.3, device="cpu", verbose=False)
    >>> scoring = {"ndcg@10": RankingScore("ndcg", 10), "recall@20": RankingScore("recall", 20)}
    >>> folds = pairs.folds([split(likes, (0.8, 0.2))])
    >>> sorted(cross_validate(trainer, pairs, cv=folds, scoring=scoring))
    ['fit_time', 'score_time', 'test_ndcg@10', 'test_recall@20']
    """

    metric: str = METRIC
    k: int = K

    def __post_init__(self) -> None:
        check_measure(self.metric, self.k)

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> float:
        """Return the score of a fitted `Trainer`, or of a pipeline that ends with one."""
        if hasattr(estimator, "steps"):
            X = estimator[:-1].transform(X)
            estimator = estimator[-1]
        score: float = estimator.score(X, metric=self.metric, k=self.k)
        return score


class WeightTransformer(Estimator):
    """A step of a pipeline that changes the weights of likes.

    Parameters
    ----------
    function : callable
        Takes and returns an array (n_likes,) of weights, such as ``numpy.log1p``.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from cml_fast.model_selection import WeightTransformer
    >>> plays = sp.csr_array([[0.0, 1.0], [15.0, 3.0]])
    >>> WeightTransformer(lambda weights: np.log2(weights + 1)).transform(plays).toarray().tolist()
    [[0.0, 1.0], [4.0, 2.0]]
    """

    def __init__(self, function: Callable[[np.ndarray], np.ndarray] = np.log1p) -> None:
        self.function = function

    def fit(self, X: Any, y: Any = None) -> WeightTransformer:
        """Do nothing: there is nothing to learn.

        Parameters
        ----------
        X, y
            Not looked at.

        Returns
        -------
        WeightTransformer
            Itself.

        Examples
        --------
        >>> from cml_fast.model_selection import WeightTransformer
        >>> WeightTransformer().fit(None)
        WeightTransformer()
        """
        return self

    def transform(self, X: sp.sparray | sp.spmatrix | Interactions | Pairs) -> Any:
        """Return likes with other weights.

        Parameters
        ----------
        X : scipy.sparse matrix or array, (n_users, n_items), Interactions or Pairs
            Not changed.

        Returns
        -------
        csr_array, Interactions or Pairs
            As ``X``.

        Raises
        ------
        TypeError, DataError
            If ``X`` is nothing of these, or a weight is not finite and positive, before or
            afterwards.

        Examples
        --------
        >>> import scipy.sparse as sp
        >>> from cml_fast.model_selection import WeightTransformer
        >>> WeightTransformer(lambda weights: weights**0).transform(sp.csr_array([[0, 9]])).data
        array([1.], dtype=float32)
        """
        if isinstance(X, Pairs):
            return Pairs(self.transform(X.likes))
        matrix = check_matrix("X", X.matrix if isinstance(X, Interactions) else X)
        weights = np.asarray(self.function(matrix.data.copy())).astype(np.float32)
        if weights.shape != matrix.data.shape:
            raise DataError(
                f"function must return {matrix.nnz} weights, one for each like, got an array of "
                f"shape {weights.shape}"
            )
        bad = ~(np.isfinite(weights) & (weights > 0))
        if bad.any():
            raise DataError(
                f"function must return weights that are finite and positive, got "
                f"{weights[bad][0]} for {matrix.data[bad][0]}"
            )
        changed = sp.csr_array((weights, matrix.indices, matrix.indptr), shape=matrix.shape)
        return replace(X, matrix=changed) if isinstance(X, Interactions) else changed

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Return likes with other weights, as `transform` does.

        Examples
        --------
        >>> import numpy as np
        >>> import scipy.sparse as sp
        >>> from cml_fast.model_selection import WeightTransformer
        >>> WeightTransformer(np.sqrt).fit_transform(sp.csr_array([[0, 9]])).data
        array([3.], dtype=float32)
        """
        return self.transform(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return True


Likes: TypeAlias = sp.sparray | sp.spmatrix | Interactions | Pairs


def likes_of(value: Any) -> Any:
    """What `Pairs` hold; anything else as it is."""
    return value.likes if isinstance(value, Pairs) else value


def _numbers(matrix: sp.csr_array) -> np.ndarray:
    """One number for each pair of a canonical matrix: ascending, int64."""
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    numbers: np.ndarray = rows * matrix.shape[1] + matrix.indices
    return numbers
