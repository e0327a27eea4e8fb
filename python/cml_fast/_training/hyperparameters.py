"""The table of hyper-parameters: one row for each.

The signature and the checks of `Trainer`, the options of the command line, what a checkpoint and a
model record, and what folding in reads: all of them come from this table. A new hyper-parameter is
one row here (and, if the kernels read it, a field of `Settings`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .. import _core
from .._compute.devices import default_threads
from .._compute.losses import LOSSES, hardest_of, loss_named, shares_negatives
from .._compute.settings import Settings
from .._threads import MAX_THREADS, usable_cores
from .._validation.scalars import (
    check_between,
    check_bool,
    check_choice,
    check_int,
    check_real,
    check_share,
)
from .weighting import WEIGHTINGS

# Where the search for a temperature begins, for vectors in the unit ball.
FIRST_TEMPERATURE = 0.3
# Of likes in files, where it is not given.
PAIRS_PER_PART = 1 << 22
UPDATES = ("sync", "async")
# Of `Trainer.partial_fit`, passes, and the share of replayed likes: see docs/studies/keeping-up.md.
PARTIAL_EPOCHS = 4
REPLAY = 1.0
# Of the negatives of an update, where their number is not set: one for so many items, from the
# second number to the third.
ITEMS_OF_NEGATIVE, FEWEST_NEGATIVES, MOST_NEGATIVES = 256, 128, 136
# Of mini-batches of a training, see docs/studies/fit-time.md.
FEWEST_BATCHES = 32
LEAST_BATCH, LARGEST_BATCH = 1024, 8192
OPTIMIZERS = ("rowwise_adagrad", "adagrad")
PRECISIONS = ("float32", "bfloat16")
DEVICES = ("auto", "cpu", "cuda")
MAX_HIDDEN = 2**16
# Squared distances in float32 neither vanish nor overflow between these.
NORM_RANGE = (1e-6, 1e6)
FACTOR_RANGE = (1e-9, 1e9)
# No squared distance is as large as the last; with much larger ones the loss is not finite.
MARGIN_RANGE = (1e-15, 1e15)

Check = Callable[[str, Any], Any]
# As a default: the row of the loss in LOSSES holds it.
OF_LOSS = object()


@dataclass(frozen=True)
class Hyperparameter:
    """A row of the table.

    Attributes
    ----------
    name : str
    default : value
        None where the trainer works it out. `OF_LOSS`: each loss has its own.
    check : function (name, value) -> value
        Returns the checked value, or raises TypeError or ValueError.
    help : str
        One line for the command line.
    doc : str
        The entry in the docstring of `Trainer`, without its name.
    rare : bool
        Whether the command line shows it only with ``--help-all``.
    kind : type or None
        Of the option on the command line; None: it is no such option, and models do not record it.
    needs : str or None
        What it has an effect with, besides its losses: "update='sync'", "cov_weight" or "features".
    nullable : bool
        Whether None is a value like others, and not only "not set".
    folds_in : bool
        Whether placing new users depends on it.
    """

    name: str
    default: Any
    check: Check
    help: str
    doc: str
    rare: bool = False
    kind: type | None = int
    needs: str | None = None
    nullable: bool = False
    folds_in: bool = False

    @property
    def signature_default(self) -> Any:
        """What `Trainer` has for it: None where it depends, so that what is set by hand shows."""
        return None if self.default is OF_LOSS or self.needs else self.default

    @property
    def may_be_none(self) -> bool:
        """Whether None may be given."""
        return self.nullable or self.signature_default is None

    def losses(self) -> tuple[str, ...]:
        """The losses that it has an effect with."""
        own = tuple(name for name, loss in LOSSES.items() if self.name in loss.parameters)
        return own or tuple(LOSSES)

    def default_for(self, loss: str) -> Any:
        """What stands for None, with this loss."""
        return loss_named(loss).defaults.get(self.name) if self.default is OF_LOSS else self.default


def _integer(low: int, high: int | None = None) -> Check:
    return lambda name, value: check_int(name, value, low, high)


def _real(low: float, *, strict: bool = False) -> Check:
    return lambda name, value: check_real(name, value, low, strict=strict)


def _between(bounds: tuple[float, float]) -> Check:
    return lambda name, value: check_between(name, value, *bounds)


def _choice(options: Iterable[str]) -> Check:
    return lambda name, value: check_choice(name, value, tuple(options))


def _share(name: str, value: Any) -> float:
    share = check_real(name, value, 0)
    if share >= 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {value!r}")
    return share


def _power_of_two(high: int) -> Check:
    def check(name: str, value: Any) -> int:
        number = check_int(name, value, 1, high)
        if number & (number - 1):
            below = 1 << number.bit_length() - 1
            raise ValueError(
                f"{name} must be a power of two, such as {below} or {2 * below}, got {value!r}"
            )
        return number

    return check


def _anything(name: str, value: Any) -> Any:
    return value  # checked where it is used


HYPERPARAMETERS: dict[str, Hyperparameter] = {
    row.name: row
    for row in (
        Hyperparameter(
            "loss",
            "softmax",
            lambda name, value: value if loss_named(value) else None,
            "What is minimised: softmax, contrastive, or the paper's: warp, shared_warp.",
            """{"softmax", "contrastive", "warp", "shared_warp"}
        What is minimised for each liked pair, given the squared distances d_ij^2 to the liked item
        and d_ik^2 to U negative items.

        - "softmax": the negative log of the liked item's share of the softmax over all J items,
          exp(-d^2 / ``temperature``), estimated from the negatives (each counts J / U times).
        - "contrastive": d_ij^2 + ``negative_weight`` / U sum_k [``margin`` - d_ik^2]_+ .
        - "warp": the paper's loss, [``margin`` + d_ij^2 - d_ik^2]_+ of the negative that violates
          the margin most, times an estimate of the liked item's rank (eqs. 1 and 3, section 3.5).
        - "shared_warp": the same loss with negatives that 32 pairs share, which is faster.

        With the first two, up to 128 pairs share their negatives. Items that a user likes are never
        negatives of that user.""",
            kind=str,
            folds_in=True,
        ),
        Hyperparameter(
            "n_dims",
            100,
            _integer(1, _core.MAX_DIMS),
            "Dimensions of the space.",
            """int, 1 to 2048
        Length r of the vectors.""",
        ),
        Hyperparameter(
            "n_negatives",
            OF_LOSS,
            _integer(1, _core.MAX_NEGATIVES),
            "Items drawn for each liked item (256; warp, shared_warp: 3 to 64, by the data).",
            """int, 1 to 1024, or None
        Number U of negative items drawn for each pair. None: 256, and in `partial_fit` and `forget`
        one for each 256 items, from 128 to 136. For "warp" and "shared_warp" one for each 400
        items, but at most a twelfth of the square root of the number of likes; from 3 to 64.""",
            rare=True,
            folds_in=True,
        ),
        Hyperparameter(
            "margin",
            OF_LOSS,
            _between(MARGIN_RANGE),
            "Of contrastive, warp and shared_warp, in squared distance (0.8; the others: 1.25).",
            """float or None
        Not with "softmax". In units of squared distance; squared distances in the ball of radius
        ``max_norm`` go up to 4 ``max_norm``^2. None: 0.8 for "contrastive", else 1.25.""",
            rare=True,
            kind=float,
            folds_in=True,
        ),
        Hyperparameter(
            "temperature",
            OF_LOSS,
            _between(FACTOR_RANGE),
            "Of softmax, in squared distance: the lower, the more the nearest negatives count "
            "(by short trainings).",
            """float or None
        Only with "softmax". In units of squared distance; the lower it is, the more the nearest
        negatives count. None: the one with the best NDCG@50 after trial trainings of 2
        epochs, which begin at 0.3 ``max_norm``^2 and go to half or twice as much as long as that is
        better; the best one and its neighbours say where between them the choice lies. NDCG is
        measured on the validation data or, without them, on a tenth of the likes, which are held
        out for the trials alone. The trials leave features aside; with ``item_features`` it is 0.25
        ``max_norm``^2, or what is nearest to that of 0.8 to 1.25 times the best one.""",
            kind=float,
            folds_in=True,
        ),
        Hyperparameter(
            "negative_weight",
            OF_LOSS,
            _between(FACTOR_RANGE),
            "Of contrastive: the weight of the negatives (10).",
            """float or None
        Only with "contrastive": the weight W of the negatives. None: 10.""",
            rare=True,
            kind=float,
            folds_in=True,
        ),
        Hyperparameter(
            "weighting",
            None,
            _choice(WEIGHTINGS),
            "What the weights of likes become: linear, saturating (for counts), or binary (the "
            "first; the second if they are as unequal as counts).",
            """{"linear", "saturating", "binary"} or None
        What the weights w of the likes multiply their losses by, but for a factor: the result is
        divided by its mean, so the scale of the weights does not matter.

        - "linear": w.
        - "saturating": w / (w + m), m the median of the user's weights. For counts, of plays for
          instance, few of which are large: at most twice as much as the user's median pair.
        - "binary": 1.

        None: "linear"; "saturating", with a warning, if the standard deviation of the weights is
        above their mean, as that of raw counts usually is.""",
            rare=True,
            kind=str,
            nullable=True,
            folds_in=True,
        ),
        Hyperparameter(
            "optimizer",
            OF_LOSS,
            _choice(OPTIMIZERS),
            "Step sizes: rowwise_adagrad, or adagrad (the first).",
            """{"rowwise_adagrad", "adagrad"} or None
        AdaGrad with one step size for each vector, or for each element of it. None: the first.""",
            rare=True,
            kind=str,
            folds_in=True,
        ),
        Hyperparameter(
            "learning_rate",
            0.15,
            _real(0, strict=True),
            "Step size of AdaGrad in the first epoch.",
            """float
        Step size of AdaGrad in the first epoch; see ``learning_rate_decay``.""",
            kind=float,
            folds_in=True,
        ),
        Hyperparameter(
            "learning_rate_decay",
            0.05,
            check_share,
            "Decay of the step size over epochs; 0: it stays the same.",
            """float, 0 to 1
        In epoch e, counted from 0, the step size is
        ``learning_rate / (1 + learning_rate_decay * e)``. 0: it stays the same. It depends on the
        number of the epoch only, so that a warm start and a longer training go on as one training
        would. With features, in `partial_fit` and `forget`, in the trial trainings that choose
        `temperature` and `user_retention`, and in `Model.fold_in_users`, it is that of epoch 10
        throughout.""",
            rare=True,
            kind=float,
            folds_in=True,
        ),
        Hyperparameter(
            "max_norm",
            1.0,
            _between(NORM_RANGE),
            "Radius of the ball in which all vectors stay.",
            """float
        Radius of the ball in which all vectors stay (section 3.5).""",
            rare=True,
            kind=float,
            folds_in=True,
        ),
        Hyperparameter(
            "user_retention",
            None,
            check_share,
            "Of their vectors, what users keep when an epoch begins (1 or 0.3, by short "
            "trainings; other losses: 0.3 if most users have a single like).",
            """float from 0 to 1, or None
        At the beginning of each epoch but the first, the vectors of users are multiplied by this.
        The lower it is, the less a model can learn likes by heart: good where there are few likes,
        or few tastes. None: with features 1. Without, 0.3 with "softmax", unless users who keep all
        have a better NDCG@50 than users who keep nothing, by a standard error, after trial
        trainings of 8 epochs, or by two after 4. The trials use the likes of at most so many users
        as have 10,000, and hold out likes as those for the temperature do. With another loss 1, or
        0.3 if more than half of the users have a single like.""",
            rare=True,
            kind=float,
            folds_in=True,
        ),
        Hyperparameter(
            "ema_decay",
            OF_LOSS,
            _share,
            "Decay of the moving average of the vectors over epochs (0.8).",
            """float, at least 0 and below 1, or None
        Decay of the exponential moving average of the vectors over epochs, which is what the model
        gets. 0: the vectors of the last epoch. None: 0.8.""",
            rare=True,
            kind=float,
        ),
        Hyperparameter(
            "popularity_weight",
            None,
            _real(0),
            "How much nearer items are that have more likes than expected; 0: not (softmax: a "
            "quarter of the temperature).",
            """float or None
        Weight of the popularity bias of the model, in units of squared distance: items that have
        more likes than the model expects are nearer to everybody, by one more coordinate of the
        vectors; see `Model.with_popularity_bias`. With "softmax" the bias is calibrated. 0: none.
        None: a quarter of the temperature with "softmax" and without features, else 0. Training
        itself does not depend on it. Not possible with features.""",
            rare=True,
            kind=float,
            nullable=True,
        ),
        Hyperparameter(
            "update",
            "sync",
            _choice(UPDATES),
            "When vectors change: sync, after mini-batches, repeatable with any number of threads; "
            "async, after each pair.",
            """{"sync", "async"}
        "sync" is the paper's procedure (section 3.5): the gradients of a mini-batch are added up,
        then each vector is changed once. The result is the same to the bit for any number of
        threads and, in float32 (``precision``), on any device. "async" changes the vectors after
        each pair, or after each tile of pairs that share negatives; threads do so without locks
        (Hogwild), so only ``n_threads=1`` repeats a run to the bit. It is faster, above all with
        many threads or on CUDA.""",
            rare=True,
            kind=str,
        ),
        Hyperparameter(
            "batch_size",
            None,
            _integer(1, _core.MAX_BATCH_SIZE),
            "Pairs of a mini-batch (1024 to 8192, by the number of interactions).",
            """int, 1 to 2^24, or None
        Only with ``update="sync"``: pairs of a mini-batch. A larger one keeps more threads busy
        (each takes 32 pairs at a time), and most of all a GPU. None: the largest power of two with
        which an epoch has 32 mini-batches, from 1024 to 8192.""",
            rare=True,
            needs="update='sync'",
            nullable=True,
        ),
        Hyperparameter(
            "pairs_per_part",
            None,
            _power_of_two(_core.MAX_PAIRS_PER_PART),
            "Pairs that lie together and are visited together (all; 4194304 of likes in a folder).",
            """int, a power of two up to 2^40, or None
        An epoch visits the pairs in parts of so many successive ones: the parts in random order,
        and the pairs of each part in random order. The likes are then read almost in order, as is
        best for likes in a file, and the users of a part are trained close together. None: all
        likes of a matrix at once, and those of a `data.Dataset` in parts of 2^22.""",
            rare=True,
            nullable=True,
        ),
        Hyperparameter(
            "precision",
            "float32",
            _choice(PRECISIONS),
            "Of what the matrix products of training take: float32, or bfloat16, for GPUs.",
            """{"float32", "bfloat16"}
        Of the numbers that the matrix products of a training step take, vectors and coefficients of
        the loss. "bfloat16" rounds them to 8 significant bits; what is learned, all sums and all
        else stay float32. Tensor cores of GPUs then compute the products, which needs compute
        capability 8.0 or newer, and only GPUs of one kind have the same bits. CPUs round in the
        same way and are no faster. Not for "warp", which has no such products.""",
            rare=True,
            kind=str,
        ),
        Hyperparameter(
            "cov_weight",
            0.0,
            _real(0),
            "Weight of covariance regularisation.",
            """float
        Weight of covariance regularisation (section 3.4), which decorrelates the dimensions. 0:
        none. BLAS computes it, so with it results repeat to the bit only where BLAS does: on one
        machine, and mostly for one number of threads.""",
            rare=True,
            kind=float,
        ),
        Hyperparameter(
            "cov_interval",
            32768,
            _integer(1),
            "Pairs from one step of covariance regularisation to the next (32768).",
            """int or None
        Only with ``cov_weight`` above 0: pairs from one step of covariance regularisation to the
        next; each step moves 1024 users and as many items. None: 32768.""",
            rare=True,
            needs="cov_weight",
        ),
        Hyperparameter(
            "feature_weight",
            OF_LOSS,
            _real(0),
            "With features: how strongly they pull (10; warp: 30).",
            """float or None
        Only with features: the weight lambda_f of L_f (section 3.3) for the vectors, which are
        pulled towards where the network places them. Its effect depends on ``feature_interval``:
        half the interval doubles the pull. None: 10; for "warp" 30.""",
            rare=True,
            kind=float,
            needs="features",
        ),
        Hyperparameter(
            "feature_learning_rate",
            0.005,
            _real(0, strict=True),
            "With features: step size of AdaGrad for their network (0.005).",
            """float or None
        Only with features: step size of AdaGrad for the feature networks. None: 0.005.""",
            rare=True,
            kind=float,
            needs="features",
        ),
        Hyperparameter(
            "feature_interval",
            4096,
            _integer(1),
            "With features: pairs from one step of their network to the next (4096).",
            """int or None
        Only with features: pairs from one step of a network to the next; each step takes 1024 users
        or items. None: 4096.""",
            rare=True,
            needs="features",
        ),
        Hyperparameter(
            "feature_warm_up",
            0,
            _integer(0),
            "With features: after so many epochs vectors start again from their features (never).",
            """int or None
        Only with features: after so many epochs the vectors of objects with features start again
        from where the network places them. 0 or None: they do not.""",
            rare=True,
            needs="features",
        ),
        Hyperparameter(
            "n_hidden",
            1024,
            _integer(1, MAX_HIDDEN),
            "With features: units in the hidden layer of their network (1024).",
            """int or None
        Only with features: units in the hidden layer of a feature network. None: 1024.""",
            rare=True,
            needs="features",
        ),
        Hyperparameter(
            "n_epochs",
            22,
            _integer(1),
            "Passes over the interactions, with validation at most.",
            """int
        Passes over the pairs; with validation data an upper bound.""",
        ),
        Hyperparameter(
            "device",
            "auto",
            _anything,
            "Where to train: auto, cpu or cuda.",
            """{"auto", "cpu", "cuda"}
        "auto" takes CUDA where it works and says (``device_reason_``, and on stderr if
        ``verbose``) why it does not; "cuda" raises that reason.""",
            kind=str,
        ),
        Hyperparameter(
            "n_threads",
            None,
            _integer(1, MAX_THREADS),
            "CPU threads (all cores that are ours).",
            """int or None
        CPU threads, those of BLAS included. None: all cores that this process may use, by its
        affinity and the CPU quota of its cgroup; with ``update="async"`` fewer for few users or
        items.""",
            nullable=True,
        ),
        Hyperparameter(
            "random_state",
            0,
            _anything,
            "Seed of everything random.",
            """int, numpy Generator or RandomState, or None
        Seeds the first vectors, the order of the pairs and the negatives.""",
            nullable=True,
        ),
        Hyperparameter(
            "patience",
            10,
            _integer(1),
            "With validation: stop after so many epochs without a better recall@50.",
            """int or None
        With validation data: stop after this many epochs without a better recall; None never stops
        early. The best epoch is kept either way.""",
            nullable=True,
        ),
        Hyperparameter(
            "validation_users",
            2000,
            _integer(1),
            "Validate on so many users at most.",
            """int or None
        Recall is measured on at most this many users, drawn once; None takes all.""",
            rare=True,
            nullable=True,
        ),
        Hyperparameter(
            "warm_start",
            False,
            check_bool,
            "",
            """bool
        Whether `fit` continues from the last fit, AdaGrad state included.""",
            kind=None,
        ),
        Hyperparameter(
            "verbose",
            True,
            check_bool,
            "",
            """bool
        Show the device and a progress bar on stderr.""",
            kind=None,
        ),
    )
}


def signature() -> inspect.Signature:
    """The signature of ``Trainer.__init__``."""
    kind = inspect.Parameter.KEYWORD_ONLY
    own = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    for row in HYPERPARAMETERS.values():
        own.append(inspect.Parameter(row.name, kind, default=row.signature_default))
    return inspect.Signature(own)


def docstring_parameters() -> str:
    """The section "Parameters" of Trainer's docstring, indented by four spaces."""
    return "\n".join(f"    {row.name} : {row.doc}" for row in HYPERPARAMETERS.values())


def recorded(params: Mapping[str, Any]) -> dict[str, Any]:
    """The hyper-parameters that a model records: those that say how it was made."""
    return {name: params[name] for name, row in HYPERPARAMETERS.items() if row.kind is not None}


def features_only() -> tuple[str, ...]:
    """The hyper-parameters that have an effect only in training with features."""
    return tuple(row.name for row in HYPERPARAMETERS.values() if row.needs == "features")


def resolve(params: Mapping[str, Any]) -> dict[str, Any]:
    """Check hyper-parameters, and put its default in the place of each that is None.

    Parameters
    ----------
    params : mapping of str to value
        All of them, as given to `Trainer`.

    Raises
    ------
    TypeError, ValueError
        If a value cannot be used, or was set and has no effect with the chosen loss or mode.
    """
    loss_named(params["loss"])
    values = {}
    for name, row in HYPERPARAMETERS.items():
        given = params[name]
        if given is not None or not row.may_be_none:
            values[name] = row.check(name, given)
        else:
            values[name] = None if row.nullable else row.default_for(params["loss"])
    for name, row in HYPERPARAMETERS.items():
        if params[name] is not None:
            _check_effective(row, params[name], values)
    return values


def _check_effective(row: Hyperparameter, given: Any, values: Mapping[str, Any]) -> None:
    """Refuse a hyper-parameter that was set but has no effect with the others."""
    if values["loss"] not in row.losses():
        losses = " and ".join(f"loss={name!r}" for name in row.losses())
        raise ValueError(
            f"{row.name}={given!r} has no effect with loss={values['loss']!r}: it belongs to "
            f"{losses}; leave it out or choose another loss"
        )
    if row.needs == "update='sync'" and values["update"] != "sync":
        raise ValueError(
            f"{row.name}={given!r} has no effect with update={values['update']!r}: it belongs to "
            "update='sync'; leave it out or choose that"
        )
    if row.needs == "cov_weight" and values["cov_weight"] == 0:
        raise ValueError(
            f"{row.name}={given!r} has no effect with cov_weight=0; leave it out or set cov_weight"
        )
    if row.name == "precision" and given != "float32" and not shares_negatives(values["loss"]):
        losses = ", ".join(f"loss={name!r}" for name in LOSSES if shares_negatives(name))
        raise ValueError(
            f"{row.name}={given!r} needs a loss whose pairs share negatives ({losses}), got "
            f"loss={values['loss']!r}; choose one of these or precision='float32'"
        )


def check_features_used(params: Mapping[str, Any]) -> None:
    """Refuse hyper-parameters of feature networks in a training that has no features."""
    for name in features_only():
        if params.get(name) is not None:
            raise ValueError(
                f"{name}={params[name]!r} has no effect without features; leave it out or "
                "give fit user_features or item_features"
            )


def check_no_bias(params: Mapping[str, Any]) -> None:
    """Refuse a popularity bias in a training that has features."""
    weight = params.get("popularity_weight")
    if weight:
        raise ValueError(
            f"popularity_weight={weight!r} is not possible with features, from which likes of new "
            "items are not known; leave it out"
        )


def batch_size_of(n_pairs: int | None) -> int:
    """How many pairs a mini-batch has by default: a power of two that follows the data."""
    if n_pairs is None:
        return LEAST_BATCH
    largest = 1 << max(n_pairs // FEWEST_BATCHES, 1).bit_length() - 1
    return min(max(largest, LEAST_BATCH), LARGEST_BATCH)


def fewer_pairs(settings: Settings, n_pairs: int) -> Settings:
    """The settings of a training on some of the pairs only, whose mini-batches are no larger."""
    return replace(settings, batch_size=min(settings.batch_size, batch_size_of(n_pairs)))


def negatives_of_update(n_items: int) -> int:
    """How many negatives an update draws at most, by default: more if there are many items."""
    return min(max(n_items // ITEMS_OF_NEGATIVE, FEWEST_NEGATIVES), MOST_NEGATIVES)


def fewer_negatives(settings: Settings, most: int) -> Settings:
    """The settings with at most so many negatives, of which each counts as much more."""
    n_negatives = min(settings.n_negatives, most)
    ratio = settings.n_negatives / n_negatives
    return replace(
        settings,
        n_negatives=n_negatives,
        importance_weight=settings.importance_weight * ratio,
        negative_weight=settings.negative_weight * ratio,
    )


def check_settings(
    params: Mapping[str, Any], shape: tuple[int, int], n_pairs: int | None = None
) -> Settings:
    """Return the checked settings of a trainer, with the seed 0.

    ``shape`` and ``n_pairs`` are those of the likes; some defaults follow them.

    Raises
    ------
    TypeError, ValueError
        As for `resolve`.
    """
    values = resolve(params)
    sync = values["update"] == "sync"
    n_negatives = values["n_negatives"] or hardest_of(shape[1], n_pairs)
    n_threads = values["n_threads"]
    if n_threads is None:
        n_threads = usable_cores() if sync else default_threads(*shape)
    own = set(loss_named(values["loss"]).parameters)
    return Settings(
        n_dims=values["n_dims"],
        n_negatives=n_negatives,
        # The kernels take all parameters of losses, and each reads its own.
        margin=values["margin"] if "margin" in own else 1.0,
        # This one until one is chosen, when all has been checked.
        temperature=values["temperature"] or FIRST_TEMPERATURE * values["max_norm"] ** 2,
        importance_weight=shape[1] / n_negatives,
        negative_weight=(values["negative_weight"] if "negative_weight" in own else 1.0)
        / n_negatives,
        learning_rate=values["learning_rate"],
        learning_rate_decay=values["learning_rate_decay"],
        max_norm=values["max_norm"],
        # Everything, until a choice has been made.
        user_retention=1.0 if values["user_retention"] is None else values["user_retention"],
        n_threads=n_threads,
        seed=0,
        batch_size=(values["batch_size"] or batch_size_of(n_pairs)) if sync else 0,
        pairs_per_part=values["pairs_per_part"] or 0,
        rowwise=values["optimizer"] == "rowwise_adagrad",
        precision=values["precision"],
        loss=values["loss"],
        tile_size=loss_named(values["loss"]).tile_size,
        **{
            name: values[name]
            for name in (
                "ema_decay",
                "popularity_weight",
                "cov_weight",
                "cov_interval",
                *features_only(),
            )
        },
    )
