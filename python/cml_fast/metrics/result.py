"""The result of an evaluation: the metrics of each user, their means and confidence intervals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .bootstrap import check_bootstrap, mean_intervals

# By metric and k; k is None for a metric without one, such as "auc".
PerUser: TypeAlias = dict[str, dict[int | None, np.ndarray]]
# A repr names at most this many means.
NAMED = 6
# More metrics than this are printed below, not beside each other.
COLUMNS = 4


@dataclass(frozen=True)
class Cold:
    """The users and items of a test set that have no likes in training.

    Attributes
    ----------
    users, items : numpy.ndarray, int64
        Row numbers, ascending.
    users_left_out, items_left_out : bool
        Whether the evaluation is without them, or with them.

    Examples
    --------
    User 1 has no likes in training, nor have the items 1 and 2 of the test set:

    >>> import scipy.sparse as sp
    >>> from cml_fast.baselines import MostPopular
    >>> from cml_fast.evaluation import evaluate
    >>> train, test = sp.csr_array([[1, 0, 0], [0, 0, 0]]), sp.csr_array([[0, 1, 0], [0, 0, 1]])
    >>> cold = evaluate(MostPopular(train), test, train).cold
    >>> cold.users.tolist(), cold.items.tolist()
    ([1], [1, 2])
    """

    users: np.ndarray
    items: np.ndarray
    users_left_out: bool = False
    items_left_out: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """The metrics of all users that have relevant items.

    Attributes
    ----------
    users : numpy.ndarray, (m,), int64
        Row numbers of the users evaluated, ascending.
    per_user : dict of str to dict of int to numpy.ndarray, (m,), float64
        ``per_user["recall"][k]`` has the recall@k of each of ``users``, NaN where a metric is not
        defined. A metric without a k, "auc", has the key None in place of it.
    overall : dict of str to dict of int to float
        Metrics that are one number for all users, such as "coverage".
    segments : dict of str to Evaluation
        The same for groups of users, and for groups of items, where they were asked for.
    cold : Cold or None
        Users and items without likes in training; None if the likes of training are not known.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from cml_fast import Model
    >>> from cml_fast.evaluation import evaluate
    >>> model = Model([[0.0], [9.0]], [[1.0], [2.0], [3.0], [4.0]])
    >>> result = evaluate(model, sp.csr_array([[1, 0, 0, 1], [0, 0, 0, 1]]), ks=(1, 4))
    >>> result
    Evaluation(users=2, recall@1=0.7500, recall@4=1.0000, ndcg@1=1.0000, ndcg@4=0.9386)
    >>> result.per_user["recall"][1].tolist()
    [0.5, 1.0]
    """

    users: np.ndarray
    per_user: PerUser
    overall: dict[str, dict[int, float]] = field(default_factory=dict)
    segments: dict[str, Evaluation] = field(default_factory=dict)
    cold: Cold | None = None

    def means(self, metric: str) -> dict[Any, float]:
        """Return the mean of a metric over the users evaluated, by k.

        Users for whom the metric is not defined are left out of it.

        Parameters
        ----------
        metric : str
            The name of a metric that was measured.

        Returns
        -------
        dict of int to float
            The key of a metric without a k is None.

        Raises
        ------
        KeyError
            If it was not measured.

        Examples
        --------
        >>> import numpy as np
        >>> from cml_fast.metrics import Evaluation
        >>> Evaluation(np.array([0, 3]), {"recall": {10: np.array([0.5, 1.0])}}).means("recall")
        {10: 0.75}
        """
        if metric in self.overall:
            return dict(self.overall[metric])
        self._check_measured(metric)
        return {k: _mean(values) for k, values in self.per_user[metric].items()}

    def intervals(
        self,
        metric: str,
        confidence: float = 0.95,
        n_resamples: int = 1000,
        random_state: int = 0,
    ) -> dict[Any, tuple[float, float]]:
        """Return confidence intervals of the means of a metric, by k.

        Percentile bootstrap: so many users are drawn with replacement, ``n_resamples`` times, and
        an interval has the middle part of the means. All k and all metrics use the same draws.

        Parameters
        ----------
        metric : str
            The name of a metric that was measured and has a value for each user.
        confidence : float
            In [0.5, 0.9999].
        n_resamples : int
            At least 1.
        random_state : int
            Seed of the draws.

        Returns
        -------
        dict of int to tuple of float
            The ends of each interval.

        Raises
        ------
        KeyError
            If there is no such metric with a value for each user.
        TypeError, ValueError
            If another argument is out of range.

        Examples
        --------
        >>> import numpy as np
        >>> from cml_fast.metrics import Evaluation
        >>> recall = np.linspace(0, 1, 101)
        >>> low, high = Evaluation(np.arange(101), {"recall": {10: recall}}).intervals("recall")[10]
        >>> 0.4 < low < 0.5 < high < 0.6
        True
        """
        self._check_measured(metric)
        check_bootstrap(confidence, n_resamples, random_state)
        by_k = self.per_user[metric]
        values = np.column_stack(list(by_k.values()))
        ends = mean_intervals(values, confidence, n_resamples, random_state)
        return dict(zip(by_k, map(tuple, ends.T.tolist()), strict=True))

    @property
    def recall(self) -> dict[Any, float]:
        """The mean recall@k over the users evaluated, by k.

        Examples
        --------
        >>> import numpy as np
        >>> from cml_fast.metrics import Evaluation
        >>> Evaluation(np.array([0, 3]), {"recall": {10: np.array([0.5, 1.0])}}).recall
        {10: 0.75}
        """
        return self.means("recall")

    @property
    def ndcg(self) -> dict[Any, float]:
        """The mean NDCG@k over the users evaluated, by k.

        Examples
        --------
        >>> import numpy as np
        >>> from cml_fast.metrics import Evaluation
        >>> Evaluation(np.array([0, 3]), {"ndcg": {10: np.array([0.0, 0.5])}}).ndcg
        {10: 0.25}
        """
        return self.means("ndcg")

    def subset(self, keep: npt.ArrayLike) -> Evaluation:
        """Return the evaluation of some of the users.

        Parameters
        ----------
        keep : array_like, (m,), bool
            Which of ``users`` to keep.

        Returns
        -------
        Evaluation
            Without ``overall``, ``segments`` and ``cold``, which are about all users.

        Raises
        ------
        TypeError
            If ``keep`` is not one bool for each user.

        Examples
        --------
        >>> import numpy as np
        >>> from cml_fast.metrics import Evaluation
        >>> both = Evaluation(np.array([0, 3]), {"recall": {10: np.array([0.5, 1.0])}})
        >>> both.subset(both.users == 3)
        Evaluation(users=1, recall@10=1.0000)
        """
        mask = np.asarray(keep)
        if mask.dtype != bool or mask.shape != self.users.shape:
            raise TypeError(
                f"keep must be {len(self.users)} bools, one for each user, got an array of "
                f"{mask.dtype} with shape {mask.shape}"
            )
        kept = {
            metric: {k: values[mask] for k, values in by_k.items()}
            for metric, by_k in self.per_user.items()
        }
        return Evaluation(self.users[mask], kept)

    def to_dict(self, separator: str = "@") -> dict[str, Any]:
        """Return the means and the number of users as plain JSON values.

        Parameters
        ----------
        separator : str
            What is between the name of a metric and k. MLflow, which refuses "@", takes "_at_".

        Returns
        -------
        dict
            Keys such as "recall@50" and "ndcg@50"; "users", the number of users evaluated; and
            "cold_users" and "cold_items", the numbers without likes in training, if these are
            known. A mean that is not defined for any user is None.

        Examples
        --------
        >>> import numpy as np
        >>> from cml_fast.metrics import Evaluation
        >>> result = Evaluation(np.array([0, 3]), {"recall": {10: np.array([0.5, 1.0])}})
        >>> result.to_dict()
        {'recall@10': 0.75, 'users': 2}
        >>> result.to_dict(separator="_at_")
        {'recall_at_10': 0.75, 'users': 2}
        """
        means = {
            name: None if np.isnan(mean) else mean for name, mean in self._flat(separator).items()
        }
        counts = {"users": len(self.users)}
        if self.cold is not None:
            counts |= {"cold_users": len(self.cold.users), "cold_items": len(self.cold.items)}
        return {**means, **counts}

    def __repr__(self) -> str:
        shown = [f"users={len(self.users)}"]
        for what in ("users", "items"):
            cold = getattr(self.cold, what, ())
            if len(cold):
                left_out = " left out" if getattr(self.cold, f"{what}_left_out") else ""
                shown.append(f"cold {what}{left_out}={len(cold)}")
        means = [f"{name}={value:.4f}" for name, value in self._flat("@").items()]
        if len(means) > NAMED:
            means[NAMED:] = [f"{len(means) - NAMED} more"]
        return f"Evaluation({', '.join([*shown, *means])})"

    def __str__(self) -> str:
        lines = [*self.about_users(), *self._table()]
        for name, part in self.segments.items():
            lines += ["", f"{name}: {part}"]
        return "\n".join(lines)

    def about_users(self) -> list[str]:
        """Return lines with the numbers of users, and of cold users and items if there are any.

        Returns
        -------
        list of str

        Examples
        --------
        >>> import numpy as np
        >>> from cml_fast.metrics import Evaluation
        >>> Evaluation(np.array([0, 3]), {"recall": {10: np.array([0.5, 1.0])}}).about_users()
        ['2 users']
        """
        lines = [f"{len(self.users)} users"]
        for what in ("users", "items"):
            n = len(getattr(self.cold, what, ()))
            if n:
                left_out = getattr(self.cold, f"{what}_left_out")
                lines.append(
                    f"{what} of test without likes in training: {n}, "
                    f"{'left out' if left_out else 'included'}"
                )
        return lines

    def _table(self) -> list[str]:
        """Return a line for each k, or for each metric if there are many."""
        means = {name: self.means(name) for name in (*self.per_user, *self.overall)}
        by_k = {f"{name}@k": values for name, values in means.items() if None not in values}
        ks = list(next(iter(by_k.values()), {}))
        if len(by_k) > COLUMNS:
            columns = {f"k={k}": [values[k] for values in by_k.values()] for k in ks}
            labels = list(by_k)
            width = max(map(len, labels))
            head = " " * width
        else:
            columns = {name: list(values.values()) for name, values in by_k.items()}
            labels, width, head = [str(k) for k in ks], 6, "k"
        names = [f"{name:>8}" for name in columns]
        lines = ["  ".join([f"{head:>{width}}", *names])] if names else []
        for label, row in zip(labels, zip(*columns.values(), strict=True), strict=True):
            numbers = [f"{value:{len(name)}.4f}" for name, value in zip(names, row, strict=True)]
            lines.append("  ".join([f"{label:>{width}}", *numbers]))
        for name, values in means.items():
            if None in values:
                lines.append(f"{name:>{width}}  {values[None]:8.4f}")
        return lines

    def _flat(self, separator: str) -> dict[str, float]:
        return {
            metric if k is None else f"{metric}{separator}{k}": mean
            for metric in (*self.per_user, *self.overall)
            for k, mean in self.means(metric).items()
        }

    def _check_measured(self, metric: str) -> None:
        if metric not in self.per_user:
            raise KeyError(
                f"{metric!r} was not measured for each user; measured were {list(self.per_user)}"
            )


def _mean(values: np.ndarray) -> float:
    """Return the mean without NaN values; NaN if there are no others."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
