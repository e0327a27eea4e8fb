"""Compare models on the same held-out items: means, confidence intervals and paired tests."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from ._evaluation.held_out import Matrix, align
from ._evaluation.plan import check_plan
from ._evaluation.run import measure_plan
from .evaluation import Recommender
from .metrics.bootstrap import check_bootstrap, mean_intervals
from .metrics.registry import DEFAULT_METRICS
from .metrics.result import Evaluation

# Smaller p-values are printed as less than this.
SMALLEST_P = 1e-4


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """The metrics of several models on the same users; `print` it for a table.

    Attributes
    ----------
    evaluations : dict of str to Evaluation
        The evaluation of each model.
    baseline : str
        The model that the others are compared with.
    rows : list of dict
        A row for each metric, k and model, with the keys "metric", "k" (None for a metric without
        one), "model", "mean", "low" and "high" (the confidence interval of the mean),
        "difference" from the mean of the baseline, "difference_low" and "difference_high", and "p".
        What is not defined is None: intervals, differences and p of "coverage", and differences and
        p of the baseline. ``pandas.DataFrame(rows)`` is a table of them.

    Examples
    --------
    >>> from cml_fast import Trainer
    >>> from cml_fast.baselines import MostPopular
    >>> from cml_fast.comparison import compare
    >>> from cml_fast.data import split, synthetic
    >>> train, test = split(synthetic(200, 100, 3000).interactions, (0.8, 0.2))
    >>> trainer = Trainer(n_epochs=10, temperature=0.21, device="cpu", verbose=False)
    >>> models = {"cml": trainer.fit(train).model_, "popular": MostPopular(train)}
    >>> found = compare(models, test, train, ks=(10,), metrics="recall", baseline="popular")
    >>> found
    Comparison(['cml', 'popular'], baseline='popular', users=200)
    >>> found.rows[0]["difference"] > 0, found.rows[0]["p"] < 0.01
    (True, True)
    """

    evaluations: dict[str, Evaluation]
    baseline: str
    rows: list[dict[str, Any]]

    def to_dict(self, separator: str = "@") -> dict[str, dict[str, Any]]:
        """Return `Evaluation.to_dict` of each model.

        Parameters
        ----------
        separator : str
            What is between the name of a metric and k.

        Returns
        -------
        dict of str to dict

        Examples
        --------
        >>> import scipy.sparse as sp
        >>> from cml_fast.baselines import MostPopular, RandomItems
        >>> from cml_fast.comparison import compare
        >>> train, test = sp.csr_array([[1, 0, 1], [1, 1, 0]]), sp.csr_array([[0, 1, 0], [0, 0, 1]])
        >>> models = {"popular": MostPopular(train), "random": RandomItems(train)}
        >>> compare(models, test, train, ks=(1,), metrics="recall").to_dict()["popular"]
        {'recall@1': 1.0, 'users': 2, 'cold_users': 0, 'cold_items': 0}
        """
        return {name: found.to_dict(separator) for name, found in self.evaluations.items()}

    def __repr__(self) -> str:
        n_users = len(self.evaluations[self.baseline].users)
        return f"Comparison({list(self.evaluations)}, baseline={self.baseline!r}, users={n_users})"

    def __str__(self) -> str:
        evaluation = self.evaluations[self.baseline]
        width = max(len("model"), *(len(name) for name in self.evaluations))
        of_metric = max(len(_label(row)) for row in self.rows)
        lines = [
            *evaluation.about_users(),
            f"{'':<{of_metric}}  {'model':<{width}}  {'mean':>8}  {'interval':<18}  "
            f"{'difference':>10}  {'interval':<18}  {'p':>7}",
        ]
        last = None
        for row in self.rows:
            label, last = ("" if _label(row) == last else _label(row)), _label(row)
            lines.append(
                f"{label:<{of_metric}}  {row['model']:<{width}}  {row['mean']:8.4f}  "
                f"{_interval(row['low'], row['high'], ''):<18}  "
                f"{_number(row['difference'], '+'):>10}  "
                f"{_interval(row['difference_low'], row['difference_high'], '+'):<18}  "
                f"{_probability(row['p']):>7}".rstrip()
            )
        n_tests = sum(row["p"] is not None for row in self.rows)
        lines.append(
            f"Differences from {self.baseline!r}. p: Wilcoxon signed-rank tests, Holm's correction "
            f"for {n_tests} tests."
        )
        return "\n".join(lines)


def compare(
    models: Mapping[str, Recommender],
    test: Matrix,
    exclude: Matrix | Sequence[Matrix] | None = None,
    ks: Iterable[int] = (10, 50, 100),
    *,
    metrics: str | Iterable[str] = DEFAULT_METRICS,
    train: Matrix | None = None,
    cold_users: str = "include",
    cold_items: str = "include",
    baseline: str | None = None,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: int = 0,
    n_threads: int | None = None,
) -> Comparison:
    """Evaluate models on the same users, and test their differences from one of them.

    For each metric and k, a model's values of all users are compared with the baseline's by the
    Wilcoxon signed-rank test (two-sided; zero differences by Pratt's method, ``scipy.stats
    .wilcoxon``). The p-values are corrected for the number of tests in the whole table (Holm,
    1979). Intervals are percentile bootstrap intervals of means, those of differences with the same
    users drawn for both models.

    Parameters
    ----------
    models : dict of str to Model or other Recommender
        At least two, by name; all of the same users and items.
    test, exclude, ks, metrics, train, cold_users, cold_items
        As for `evaluation.evaluate`; but users and items without likes in training are always told
        by ``train``, or by ``exclude`` without it.
    baseline : str, optional
        The name of the model to compare with. By default the best one, which has the highest mean
        of the first metric at the smallest k. A baseline that you name before you see the results
        makes the p-values honest; the best of many models is partly the best by luck.
    confidence : float
        Of the intervals, in [0.5, 0.9999].
    n_resamples : int
        How often users are drawn, at least 1.
    random_state : int
        Seed of the draws.
    n_threads : int or None
        As for `evaluation.evaluate`.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError, ValueError, DataError
        If ``models`` is no dict of at least two models, ``baseline`` is not one of them, or as for
        `evaluation.evaluate`.

    Examples
    --------
    >>> from cml_fast.baselines import ItemKNN, MostPopular
    >>> from cml_fast.comparison import compare
    >>> from cml_fast.data import split, synthetic
    >>> train, test = split(synthetic(200, 100, 3000).interactions, (0.8, 0.2))
    >>> models = {"popular": MostPopular(train), "item-kNN": ItemKNN(train)}
    >>> found = compare(models, test, exclude=train, ks=(10,), metrics=("ndcg", "coverage"))
    >>> [(row["metric"], row["model"]) for row in found.rows]
    [('ndcg', 'popular'), ('ndcg', 'item-kNN'), ('coverage', 'popular'), ('coverage', 'item-kNN')]
    """
    if not isinstance(models, Mapping) or len(models) < 2:
        raise TypeError(f"models must be a dict of at least two models by name, got {models!r}")
    if baseline is not None and baseline not in models:
        raise ValueError(f"baseline must be one of {list(models)}, got {baseline!r}")
    check_bootstrap(confidence, n_resamples, random_state)
    plan = check_plan(ks, metrics, cold_users, cold_items, segments=False)
    data = align(list(models.values()), test, exclude, train, stacklevel=3).without_cold(plan)
    evaluations = {
        name: measure_plan(model, data, plan, n_threads=n_threads) for name, model in models.items()
    }
    if baseline is None:
        first = {
            name: next(iter(found.means(plan.metrics[0]).values()))
            for name, found in evaluations.items()
        }
        baseline = max(first, key=lambda name: first[name])
    rows = _rows(evaluations, plan.metrics, baseline, (confidence, n_resamples, random_state))
    return Comparison(evaluations, baseline, rows)


def _rows(
    evaluations: dict[str, Evaluation],
    metrics: Iterable[str],
    baseline: str,
    draws: tuple[float, int, int],
) -> list[dict[str, Any]]:
    """Return a row for each metric, k and model."""
    rows: list[dict[str, Any]] = []
    columns: list[np.ndarray] = []  # of the rows that have values for each user: two for each
    for metric in metrics:
        for k in evaluations[baseline].means(metric):
            for name, found in evaluations.items():
                row = {"metric": metric, "k": k, "model": name, "mean": found.means(metric)[k]}
                rows.append({**row, **dict.fromkeys(_OF_USERS)})
                if metric in found.per_user:
                    values = found.per_user[metric][k]
                    # NaN where one of the two is not defined.
                    columns += [values, values - evaluations[baseline].per_user[metric][k]]
    if columns:
        ends = mean_intervals(np.column_stack(columns), *draws).T.tolist()
        of_users = [row for row in rows if row["metric"] in evaluations[baseline].per_user]
        for at, row in enumerate(of_users):
            row["low"], row["high"] = ends[2 * at]
            difference = columns[2 * at + 1]
            difference = difference[~np.isnan(difference)]
            if row["model"] != baseline and difference.size:
                row["difference"] = float(difference.mean())
                row["difference_low"], row["difference_high"] = ends[2 * at + 1]
                row["p"] = _wilcoxon(difference)
    tested = [row for row in rows if row["p"] is not None]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p"] = p
    return rows


# What a row has only if its metric has a value for each user.
_OF_USERS = ("low", "high", "difference", "difference_low", "difference_high", "p")


def _wilcoxon(difference: np.ndarray) -> float:
    """Return the p-value of the signed-rank test; 1 if all differences are 0."""
    if not difference.any():
        return 1.0
    with warnings.catch_warnings():
        # Before version 1.13 SciPy warns if there are few users.
        warnings.filterwarnings("ignore", "Sample size too small", UserWarning)
        return float(stats.wilcoxon(difference, zero_method="pratt", method="approx").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for the number of tests by Holm's step-down method.

    As ``statsmodels.stats.multitest.multipletests(p_values, method="holm")`` of statsmodels 0.15.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    steps = p[order] * np.arange(len(p), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return [float(value) for value in corrected]


def _label(row: dict[str, Any]) -> str:
    return str(row["metric"]) if row["k"] is None else f"{row['metric']}@{row['k']}"


def _number(value: float | None, sign: str) -> str:
    return "" if value is None else f"{value:{sign}.4f}"


def _interval(low: float | None, high: float | None, sign: str) -> str:
    return "" if low is None else f"[{_number(low, sign)}, {_number(high, sign)}]"


def _probability(p: float | None) -> str:
    if p is None:
        return ""
    return f"<{SMALLEST_P:.4f}" if p < SMALLEST_P else f"{p:.4f}"
