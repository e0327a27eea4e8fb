"""What scikit-learn calls on a trainer besides ``fit``."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from ._scoring import METRIC, K, score
from ._validation.estimator import Estimator
from .model import Model
from .model_selection import Likes, likes_of


class LikesTransformer(Estimator):
    """Base of `Trainer`: scores likes, and transforms the likes of users to their vectors."""

    # What ``fit`` sets.
    model_: Model
    _likes: sp.csr_array | None  # None: they were in a Dataset
    n_threads: int | None

    def score(self, X: Likes, y: Any = None, *, metric: str = METRIC, k: int = K) -> float:
        """Return how well the model ranks likes: recall@50, or the mean of another metric.

        What is ranked for whom depends on the users, which are the rows of ``X``:

        - The users of the training, by their number or their ids: the likes in ``X`` were held out.
          All items are ranked for each user but those liked in training. (If all of ``X`` are likes
          of the training, these are ranked, and only the others are left out.)
        - Other users: of each one's likes, a fifth is hidden at random, always the same ones. The
          user is placed by the other likes, as `transform` does it, and the hidden ones are looked
          for among all items but those. Users with a single like are left out.

        Parameters
        ----------
        X : scipy.sparse matrix or array (n_users, n_items), Interactions or Pairs
            Values do not matter, except that other users are placed by them.
        y
            Not used; scikit-learn passes it.
        metric : str
            A name in `metrics.METRICS`.
        k : int
            The length of the rankings. If there are not more items than that, the recall is 1.

        Returns
        -------
        float
            The higher the better.

        Raises
        ------
        ValueError
            Before `fit`: ``sklearn.exceptions.NotFittedError``, if scikit-learn is loaded.
        TypeError, ValueError, DataError
            For arguments that cannot be used; if only some of the users, or only some of the likes,
            are those of the training.

        Examples
        --------
        >>> from cml_fast import Trainer
        >>> from cml_fast.data import split, synthetic
        >>> train, test = split(synthetic(200, 100, 3000).interactions, (0.8, 0.2))
        >>> trainer = Trainer(n_dims=16, n_epochs=3, temperature=0.21, device="cpu", verbose=False)
        >>> 0 < trainer.fit(train).score(test) <= 1
        True
        >>> trainer.score(test, metric="ndcg", k=10) < trainer.score(train, metric="ndcg", k=10)
        True
        """
        self._check_fitted("model_")
        known = self._likes_for("score", "evaluate the model on test data, with evaluate")
        return score(self.model_, known, likes_of(X), metric, k, self.n_threads)

    def _likes_for(self, method: str, instead: str) -> sp.csr_array:
        """The likes of the last fit, which a method needs in memory."""
        if self._likes is None:
            raise ValueError(
                f"{method} needs the likes of the last fit in memory, and they were in a Dataset; "
                f"{instead}"
            )
        return self._likes

    def transform(self, X: Likes) -> np.ndarray:
        """Compute vectors of users from their likes, with `Model.fold_in_users`.

        Parameters
        ----------
        X : scipy.sparse matrix or array (m, n_items), Interactions or Pairs
            The likes of any users, at least one each. Also the users of the training are placed
            anew, by these likes alone; ``model_.user_vectors`` has their trained vectors.

        Returns
        -------
        numpy.ndarray, (m, n_dims), float32
            Without the coordinate of a popularity bias, which is 0 for all users.

        Raises
        ------
        ValueError
            Before `fit`: ``sklearn.exceptions.NotFittedError``, if scikit-learn is loaded.
        TypeError, ValueError, DataError, TrainingDiverged
            As for `Model.fold_in_users`.

        Examples
        --------
        >>> from cml_fast import Trainer
        >>> from cml_fast.data import synthetic
        >>> likes = synthetic(200, 100, 3000).interactions.matrix
        >>> trainer = Trainer(n_dims=16, n_epochs=3, temperature=0.21, device="cpu", verbose=False)
        >>> trainer.fit(likes[:150]).transform(likes[150:]).shape
        (50, 16)
        """
        self._check_fitted("model_")
        placed = self.model_.fold_in_users(likes_of(X), n_threads=self.n_threads)
        return placed[:, : self.model_._n_trained()]

    def fit_transform(self, train: Likes, y: Any = None, **fit_params: Any) -> np.ndarray:
        """Fit, and compute vectors of the users from their likes: `fit`, then `transform`.

        Examples
        --------
        >>> from cml_fast import Trainer
        >>> from cml_fast.data import synthetic
        >>> likes = synthetic(200, 100, 3000).interactions.matrix
        >>> trainer = Trainer(n_dims=16, n_epochs=3, temperature=0.21, device="cpu", verbose=False)
        >>> trainer.fit_transform(likes).shape
        (200, 16)
        """
        self.fit(train, y, **fit_params)  # type: ignore[attr-defined]
        return self.transform(train)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return names of the columns of `transform`.

        Parameters
        ----------
        input_features
            Not used; scikit-learn passes it.

        Returns
        -------
        numpy.ndarray, (n_dims,), object
            "trainer0", "trainer1", ..., as scikit-learn names the columns of such a transformer.

        Raises
        ------
        ValueError
            Before `fit`: ``sklearn.exceptions.NotFittedError``, if scikit-learn is loaded.

        Examples
        --------
        >>> from cml_fast import Trainer
        >>> from cml_fast.data import synthetic
        >>> likes = synthetic(200, 100, 3000).interactions
        >>> trainer = Trainer(n_dims=2, n_epochs=1, temperature=0.21, device="cpu", verbose=False)
        >>> trainer.fit(likes).get_feature_names_out().tolist()
        ['trainer0', 'trainer1']
        """
        self._check_fitted("model_")
        prefix = type(self).__name__.lower()
        n_dims = self.model_._n_trained()
        return np.array([f"{prefix}{number}" for number in range(n_dims)], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")
