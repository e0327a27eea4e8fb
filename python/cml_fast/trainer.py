"""The trainer: fit and resume, and the model they make."""

from __future__ import annotations

import logging
import numbers
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp

from ._compute.array_api import namespace_on
from ._compute.devices import current_device, instruction_set
from ._compute.feature_network import FeatureNetwork
from ._compute.kernels import launch_granularity, make_job
from ._compute.settings import Settings
from ._compute.tables import Tables
from ._scikit_learn import LikesTransformer
from ._threads import blas_threads
from ._training.checkpoint import Checkpoint, check_folder, check_new, fingerprints
from ._training.covariance import CovarianceStep
from ._training.estimate import describe
from ._training.feature_step import FeatureStep, has_likes, place_cold_start
from ._training.fit_inputs import FitInputs, check_fit_inputs, sample_of_users
from ._training.growing import Begun, grown
from ._training.hints import hints
from ._training.hyperparameters import (
    HYPERPARAMETERS,
    PARTIAL_EPOCHS,
    REPLAY,
    check_features_used,
    docstring_parameters,
    recorded,
    signature,
)
from ._training.likes import MappedLikes, in_memory
from ._training.loop import Training, Vectors
from ._training.popularity import PopularityBias, weight_of
from ._training.reports import EpochReport, history_of
from ._training.retention import choose as choose_retention
from ._training.retention import draw_back, without_trials
from ._training.scheduled import ScheduledJob, ScheduledStep
from ._training.start import first_vectors
from ._training.state import TrainingState
from ._training.temperature import choose as choose_temperature
from ._training.trials import sampled
from ._training.update import (
    Forgotten,
    Update,
    aligned,
    choose_users,
    join,
    rows_named,
    with_ids,
    without,
)
from ._validation.scalars import check_int, check_real, check_share, drawing_from
from .data import Features, Interactions
from .data._ids import same_ids
from .errors import DataError, ModelError
from .model import Model
from .model_selection import Likes, Pairs, likes_of

logger = logging.getLogger("cml_fast")


# Called after every epoch, with ``trainer.model_`` up to date; a true answer ends the training.
Callback = Callable[["Trainer", EpochReport], "bool | None"]
FeatureMatrix: TypeAlias = sp.sparray | sp.spmatrix | np.ndarray | Features


class Trainer(LikesTransformer):
    __doc__ = f"""Collaborative Metric Learning (Hsieh et al., WWW 2017) on CPU or CUDA.

    Follows scikit-learn's conventions: hyper-parameters are stored as given and checked in
    `fit`; learned attributes end with an underscore. A hyper-parameter that is None gets its
    default; one that was set and has no effect with the chosen loss or mode is an error.

    Parameters
    ----------
{docstring_parameters()}

    Attributes
    ----------
    model_ : Model
        The learned vectors.
    history_ : list of EpochReport
        One for each epoch of the last `fit`, `partial_fit` or `forget`.
    best_epoch_ : int
        The epoch whose vectors ``model_`` holds.
    n_epochs_ : int
        Epochs that the state behind ``model_`` has seen over all fits.
    device_, device_reason_ : str
        Where training ran, and why there.
    temperature_ : float or None
        Of "softmax": the temperature it was trained with.
    user_retention_ : float
        The ``user_retention`` it was trained with.
    n_negatives_ : int
        The number of negatives of a pair that it was trained with.
    weighting_ : str
        The ``weighting`` it was trained with.
    popularity_weight_ : float
        Of the popularity bias of ``model_``. If it is not 0, the vectors of the model have one
        more coordinate than ``n_dims``.
    n_features_in_ : int
        The number of items, which scikit-learn calls features.

    Examples
    --------
    >>> from cml_fast import Trainer
    >>> from cml_fast.data import synthetic
    >>> likes = synthetic(200, 100, 3000).interactions
    >>> trainer = Trainer(n_dims=16, n_epochs=3, temperature=0.21, device="cpu", verbose=False)
    >>> model = trainer.fit(likes).model_
    >>> model.item_vectors.shape  # one more, for the popularity bias
    (100, 17)
    >>> [report.epoch for report in trainer.history_]
    [0, 1, 2]

    A hyper-parameter of another loss is refused when training begins:

    >>> Trainer(loss="warp", temperature=0.2).fit(likes)
    Traceback (most recent call last):
    ...
    ValueError: temperature=0.2 has no effect with loss='warp': it belongs to loss='softmax'; ...
    """

    # What this class itself reads of its hyper-parameters; all of them are in the table.
    temperature: float | None
    user_retention: float | None
    random_state: Any
    n_epochs: int
    device: str
    patience: int | None
    batch_size: int | None
    validation_users: int | None
    warm_start: bool
    verbose: bool

    def __init__(self, **hyperparameters: Any) -> None:
        unknown = hyperparameters.keys() - HYPERPARAMETERS.keys()
        if unknown:
            raise TypeError(
                f"Trainer has no parameter {min(unknown)!r}; it has {list(HYPERPARAMETERS)}"
            )
        for name, row in HYPERPARAMETERS.items():
            setattr(self, name, hyperparameters.get(name, row.signature_default))

    __init__.__signature__ = signature()  # type: ignore[attr-defined]

    # --- training ------------------------------------------------------------------------------

    def fit(
        self,
        train: Likes,
        y: Any = None,
        *,
        validation: Likes | None = None,
        user_features: FeatureMatrix | None = None,
        item_features: FeatureMatrix | None = None,
        callbacks: Iterable[Callback] = (),
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: float = 1.0,
    ) -> Trainer:
        """Learn from who liked what.

        Parameters
        ----------
        train : scipy.sparse matrix or array (n_users, n_items), Interactions, Pairs or Dataset
            A stored value is a liked pair and its weight, finite and positive, of which
            ``weighting`` makes a factor of the pair's loss; explicit zeros are dropped and
            duplicates added up, each with a warning. Not changed. The likes of a `data.Dataset`
            stay in their files, which must not change during the training.
        y
            Not used; scikit-learn passes it.
        validation : like train, same shape (and ids), optional
            Likes to rank after each epoch, those of ``train`` left out.
        user_features, item_features : scipy.sparse or dense matrix, or Features, optional
            Features of the users (n_users, m) and items (n_items, m'), one row each: tags, genres,
            words. Sparse ones stay sparse. A network learns to place objects by their features
            (section 3.3) from those that have both features and likes. Objects without features
            are trained as usual; those without likes are placed by the network.
        callbacks : iterable of ``callback(trainer, report) -> bool | None``
            Called after each epoch; True ends the training.
        checkpoint : path, optional
            A folder, absent or empty, for everything that `resume` needs to continue the
            training in another process. A finished training in it is replaced, an unfinished one is
            refused. Give each training a folder of its own.
        checkpoint_every : float
            Epochs from one checkpoint to the next; may be a fraction such as 0.1. A checkpoint is
            also written at the end, and after KeyboardInterrupt.

        Returns
        -------
        Trainer
            Itself.

        Raises
        ------
        TypeError, ValueError, DataError
            For arguments that cannot be used. Nothing has changed then.
        DeviceUnavailable
            If ``device="cuda"`` cannot be used, or the GPU not with ``precision``; the message says
            why.
        OSError, ModelError
            If ``checkpoint`` cannot be written, or holds something else. Nothing has changed then.
        MemoryError
            If the vectors need more memory than is free; the message has the numbers.
        TrainingDiverged
            If a value was not finite. The update was refused, and ``model_`` is the last state;
            the checkpoint is an earlier, good one.

        Notes
        -----
        After KeyboardInterrupt, which is passed on, ``model_`` is what had been learned so far;
        nothing, as long as the temperature was being chosen.

        If a later checkpoint cannot be written, because the disk is full for instance, training
        continues with a warning. The checkpoint before it stays, and the next one is tried again.

        Examples
        --------
        >>> from cml_fast import Trainer
        >>> from cml_fast.data import split, synthetic
        >>> likes = synthetic(200, 100, 3000).interactions
        >>> train, validation = split(likes, (0.8, 0.2))
        >>> def stop_at_five_seconds(trainer, report):
        ...     return sum(epoch.seconds for epoch in trainer.history_) > 5
        >>> trainer = Trainer(n_epochs=3, temperature=0.21, device="cpu", verbose=False)
        >>> trainer.fit(train, validation=validation, callbacks=[stop_at_five_seconds])
        Trainer(temperature=0.21, n_epochs=3, device='cpu', verbose=False)
        >>> 0 < trainer.history_[-1].recall <= 1
        True
        """
        _refuse_likes("fit", y)
        train, validation = likes_of(train), likes_of(validation)
        inputs = check_fit_inputs(self, train, validation, callbacks, user_features, item_features)
        if not inputs.features:
            check_features_used(self.get_params())
        every = check_real("checkpoint_every", checkpoint_every, 0, strict=True)
        folder = None if checkpoint is None else check_folder("checkpoint", checkpoint)
        if folder is not None:
            check_new(folder)
        last = self._warm_state(inputs)
        if isinstance(inputs.likes, MappedLikes) and self._is_heard():
            self._say(describe(inputs, int(self.n_epochs), self._begin, self._make_job))
        with drawing_from(self.random_state) as generator:
            inputs = self._with_retention(inputs, last)
            temperature = self._choose_temperature(inputs, last)
            if last is None:
                state = self._begin(inputs, generator)
            else:
                done, n_pairs = last.n_epochs, inputs.likes.nnz
                ids = inputs.ids or last.ids
                state = TrainingState(last.tables, last.seed, ids, n_pairs, done, done * n_pairs)
                state.networks = self._networks(inputs, last.networks, generator)
                state.averages = last.averages if inputs.settings.ema_decay > 0 else None
                state.user_retention = inputs.settings.user_retention
            state.temperature = temperature
            job = self._make_job(inputs, state)  # the last that may refuse an argument
        keeper = None
        if folder is not None:
            keeper = Checkpoint(folder, every, self._stored(state.seed), fingerprints(inputs))
        self._train(job, inputs, state, keeper)
        return self

    @classmethod
    def resume(
        cls,
        path: str | os.PathLike[str],
        train: Likes | None = None,
        *,
        validation: Likes | None = None,
        user_features: FeatureMatrix | None = None,
        item_features: FeatureMatrix | None = None,
        callbacks: Iterable[Callback] = (),
        **overrides: Any,
    ) -> Trainer:
        """Continue the training in a folder that was given as ``checkpoint``.

        It continues at the pair where the checkpoint was written, keeps writing checkpoints there,
        and ends as if it had never been interrupted. With ``update="sync"`` that is true to
        the bit, also with another number of threads and, in float32 (``precision``), on another
        device; with "async", for one CPU thread. A finished training is returned as it is.

        Parameters
        ----------
        path : path
            The folder.
        train, validation, user_features, item_features
            The same data as in `fit`, which a fingerprint in the checkpoint makes sure of.
            Ids may be left out. Checkpoints of `partial_fit` and `forget` hold all likes: leave out
            ``train``.
        callbacks : iterable of ``callback(trainer, report) -> bool | None``
            As for `fit`. If the process was killed after they had been called for an epoch,
            but before the next checkpoint, they are called for that epoch again.
        **overrides
            ``verbose``, ``device`` and ``n_threads``. All else is as it was; a generator that was
            given as ``random_state`` is represented by the seed drawn from it.

        Returns
        -------
        Trainer
            A new one, fitted.

        Raises
        ------
        FileNotFoundError
            If there is no checkpoint yet: begin with `fit`.
        ModelError
            If the checkpoint is damaged, of a newer format, or no checkpoint; the message names
            the file.
        DataError
            If it was made with other data.
        TypeError, ValueError, DeviceUnavailable, OSError, TrainingDiverged
            As for `fit`.

        Examples
        --------
        >>> import tempfile
        >>> from cml_fast import Trainer
        >>> from cml_fast.data import synthetic
        >>> likes = synthetic(200, 100, 3000).interactions
        >>> folder = tempfile.TemporaryDirectory()
        >>> begun = Trainer(n_epochs=4, temperature=0.21, device="cpu", verbose=False)
        >>> _ = begun.fit(likes, checkpoint=folder.name, callbacks=[lambda *_: True])
        >>> Trainer.resume(folder.name, likes).n_epochs_  # a callback had ended it
        1
        >>> folder.cleanup()
        """
        for name in overrides:
            if name not in ("verbose", "device", "n_threads"):
                raise TypeError(
                    f"resume can change only verbose, device and n_threads, got {name!r}; for "
                    "other changes begin anew with fit"
                )
        checkpoint, state = Checkpoint.read(check_folder("path", path), cls._defaults())
        self = cls(**{**checkpoint.hyperparameters, **overrides})
        train, validation = likes_of(train), likes_of(validation)
        update = checkpoint.update
        if update is not None:
            if train is not None:
                raise TypeError(
                    f"{checkpoint.folder} holds a training of partial_fit or forget, and its "
                    "likes; leave out train"
                )
            train = with_ids(update.likes, state.ids)
            validation = aligned(validation, update.likes.shape, state.ids)
        elif train is None:
            raise TypeError(f"{checkpoint.folder} holds a training of fit; give the same train")
        inputs = check_fit_inputs(
            self,
            train,
            validation,
            callbacks,
            user_features,
            item_features,
            weighting=None if update is None else update.weighting,
            update=update,
        )
        checkpoint.check_data(inputs, state)
        stored = f"the checkpoint in {checkpoint.folder}"
        _check_same_ids(inputs.ids, state.ids, stored, "begin anew with fit")
        state.ids = inputs.ids or state.ids
        state.move_to(inputs.device)
        try:
            job = self._make_job(inputs, state)
        except ValueError as error:  # the data are those of the checkpoint, so it is not they
            raise ModelError(f"{checkpoint.folder} cannot be resumed: {error}") from error
        checkpoint.hyperparameters = self._stored(state.seed)
        self._train(job, inputs, state, checkpoint)
        return self

    def partial_fit(
        self,
        new_interactions: Likes,
        y: Any = None,
        *,
        n_epochs: int = PARTIAL_EPOCHS,
        replay: float = REPLAY,
        validation: Likes | None = None,
        user_features: FeatureMatrix | None = None,
        item_features: FeatureMatrix | None = None,
        callbacks: Iterable[Callback] = (),
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: float = 1.0,
    ) -> Trainer:
        """Go on learning with new likes, among them those of new users and of new items.

        Users and items that are new get rows behind the known ones. A new item begins at the mean
        of the users who like it, a new user at the mean of the liked items, and objects that
        nobody known is linked to where their features place them, or at random. So do known ones
        that had neither likes nor features. The others go on where the last training ended, with
        their AdaGrad state. Their averages over epochs (``ema_decay``) go on, too, the less the
        more of their likes are new.

        An epoch goes through all likes, old and new, of the users in ``new_interactions``, and
        through those of other users, drawn once, against forgetting (``replay``). Items that a
        user is known to like are never negatives of that user.

        Parameters
        ----------
        new_interactions : Interactions, Pairs, or scipy.sparse matrix or array
            The new likes; a pair that is known already gets its new weight. Interactions name
            their users and items by ids, which may be known or new and in any order, if the likes
            of the last fit had ids. A matrix has the rows and columns of the last fit first, and
            may have new ones behind them if that fit was on a matrix. Not changed.
        y
            Not used; scikit-learn passes it.
        n_epochs : int
            Passes over these likes.
        replay : float, 0 to 1
            The share of the likes of all other users that an epoch goes through, too: all likes of
            users who are drawn at random. 0: none.
        validation : like new_interactions, optional
            Likes to rank after each epoch, with known users and items only. A matrix may have
            fewer rows and columns than there are now. The best epoch is kept, as in `fit`.
        user_features, item_features : scipy.sparse or dense matrix, or Features, optional
            Features of all users and items, known ones first; needed if the trainer was fitted with
            them.
        callbacks, checkpoint, checkpoint_every
            As for `fit`. The checkpoint also holds all likes, so that `resume` needs no ``train``.

        Returns
        -------
        Trainer
            Itself. ``model_`` has all users and items, ``history_`` the new epochs, and
            ``n_epochs_`` counts on.

        Raises
        ------
        TypeError, ValueError, DataError
            For arguments that cannot be used; if ``n_dims`` or ``optimizer`` were changed since the
            last fit. Nothing has changed then.
        DeviceUnavailable, OSError, ModelError, TrainingDiverged
            As for `fit`.

        Notes
        -----
        On a trainer that is not fitted yet, this is `fit`, whose ``n_epochs`` is that of the
        trainer. The temperature and the weighting are kept. The trainer remembers the likes of all
        fits, also when it is pickled. A trainer from another process is restored with `resume`.

        What is drawn depends on the seed, the epoch (counted on from the last fit), the pair and
        the negative, so that nothing is drawn twice, and with ``update="sync"`` the result is the
        same to the bit for any number of threads.

        [Keeping up](../studies/keeping-up.md) measures how near this comes to a new fit.

        Examples
        --------
        >>> from cml_fast import Trainer
        >>> from cml_fast.data import Interactions, synthetic
        >>> likes = synthetic(200, 100, 3000).interactions
        >>> trainer = Trainer(n_dims=16, n_epochs=3, temperature=0.21, device="cpu", verbose=False)
        >>> trainer.fit(likes).model_
        Model(n_users=200, n_items=100, r=16+1)
        >>> today = Interactions.from_arrays(
        ...     ["ann", "ann", "user-00003"], ["folk-0001", "new", "new"]
        ... )
        >>> trainer.partial_fit(today, n_epochs=2).model_
        Model(n_users=201, n_items=101, r=16+1)
        >>> [report.epoch for report in trainer.history_]
        [3, 4]
        """
        _refuse_likes("partial_fit", y)
        new, validation = likes_of(new_interactions), likes_of(validation)
        given: dict[str, Any] = {
            "callbacks": callbacks,
            "user_features": user_features,
            "item_features": item_features,
            "checkpoint": checkpoint,
            "checkpoint_every": checkpoint_every,
        }
        if not hasattr(self, "_state"):
            return self.fit(new, validation=validation, **given)
        n_epochs = check_int("n_epochs", n_epochs, 1)
        replay = check_share("replay", replay)
        last = self._state
        known_likes = self._likes_for(
            "partial_fit",
            "prepare a data set of old and new likes and fit on it; with warm_start=True that goes "
            "on from these vectors, if users and items are the same",
        )
        likes, new, ids = join(known_likes, last.ids, new, stacklevel=4)
        generator = np.random.default_rng([last.seed, last.n_epochs])
        users = choose_users(likes, np.flatnonzero(np.diff(new.indptr)), replay, generator)
        update = Update(likes, users, n_epochs, self.weighting_)

        def begin(inputs: FitInputs) -> Begun:
            return grown(
                last,
                self._learned(),
                inputs.likes,
                known_likes,
                users,
                inputs.features,
                inputs.settings.max_norm,
                inputs.settings.ema_decay,
                generator,
            )

        self._go_on(update, ids, begin, validation=validation, **given)
        return self

    def forget(
        self,
        users: Any = (),
        items: Any = (),
        *,
        n_epochs: int = 0,
        user_features: FeatureMatrix | None = None,
        item_features: FeatureMatrix | None = None,
        callbacks: Iterable[Callback] = (),
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: float = 1.0,
    ) -> Forgotten:
        """Remove users and items, and let what others learned from them fade.

        What is theirs is removed at once: their vectors, AdaGrad accumulators, averages, likes, ids
        and counts. Rows behind them move up. What their likes did to the vectors of others, and to
        feature networks, stays; ``n_epochs`` of training on the likes that are left let it fade,
        and only a new `fit` removes it. [Keeping up](../studies/keeping-up.md) measures how far.
        Models, checkpoints and pickles that were made before still hold everything.

        Parameters
        ----------
        users, items : int or str, or array_like of these
            Ids; row numbers if the likes of the last fit had no ids.
        n_epochs : int
            Passes over all likes that are left. 0: the other vectors stay as they are.
        user_features, item_features : scipy.sparse or dense matrix, or Features, optional
            Features of the users and items that are left; needed if the trainer was fitted with
            them.
        callbacks, checkpoint, checkpoint_every
            As for `partial_fit`.

        Returns
        -------
        Forgotten
            How much was removed, and how many others had learned from it.

        Raises
        ------
        ValueError
            Before `fit`; if an id is unknown, or none is given.
        DataError
            If no like would be left.
        TypeError, DeviceUnavailable, OSError, ModelError, TrainingDiverged
            As for `partial_fit`. Nothing has changed then, but for the last of these.

        Examples
        --------
        >>> from cml_fast import Trainer
        >>> from cml_fast.data import synthetic
        >>> likes = synthetic(200, 100, 3000).interactions
        >>> trainer = Trainer(n_dims=16, n_epochs=3, temperature=0.21, device="cpu", verbose=False)
        >>> trainer.fit(likes).forget(users=["user-00017", "user-00031"], n_epochs=1).users
        2
        >>> trainer.model_
        Model(n_users=198, n_items=100, r=16+1)
        """
        self._check_fitted("model_")
        last, n_epochs = self._state, check_int("n_epochs", n_epochs, 0)
        kept = {}
        for entity, wanted, n in zip(
            ("users", "items"), (users, items), last.tables.shape, strict=True
        ):
            what = entity[:-1]
            kept[entity] = np.ones(n, dtype=bool)
            kept[entity][rows_named(what, last.ids.get(f"{what}_ids"), wanted, n)] = False
        if kept["users"].all() and kept["items"].all():
            raise ValueError("users and items are empty; name at least one to forget")
        known_likes = self._likes_for("forget", "prepare a data set without them and fit anew")
        likes, forgotten = without(known_likes, kept["users"], kept["items"], n_epochs)
        update = Update(likes, np.arange(likes.shape[0]), n_epochs, self.weighting_)
        ids = {axis: ids[kept[axis.replace("_id", "")]] for axis, ids in last.ids.items()}

        def left(inputs: FitInputs) -> Begun:
            arrays = last.tables.to_numpy()
            arrays |= self._learned()
            rows = {
                name: array[kept[name.replace("_accumulator", "")]]
                for name, array in arrays.items()
            }
            rowwise = last.tables.rowwise
            # What was learned from them is not averaged any longer.
            return Tables(inputs.device, last.tables.n_dims, **rows, rowwise=rowwise), None

        self._go_on(
            update,
            ids,
            left,
            user_features=user_features,
            item_features=item_features,
            callbacks=callbacks,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
        )
        return forgotten

    def _go_on(
        self,
        update: Update,
        ids: dict[str, np.ndarray],
        begin: Callable[[FitInputs], Begun],
        *,
        callbacks: Any,
        user_features: Any,
        item_features: Any,
        checkpoint: Any,
        checkpoint_every: float,
        validation: Any = None,
    ) -> None:
        """Train on an update, from what `begin` makes of checked arguments."""
        last = self._state
        inputs = check_fit_inputs(
            self,
            with_ids(update.likes, ids),
            aligned(validation, update.likes.shape, ids),
            callbacks,
            user_features,
            item_features,
            weighting=update.weighting,
            update=update,
            stacklevel=6,
        )
        self._check_continues(last, inputs, "")
        for entity in last.networks.keys() - inputs.features.keys():
            name = f"{entity[:-1]}_features"
            raise ValueError(
                f"{name} is missing: the trainer was fitted with features of {entity}, so give "
                f"those of all {entity} there are now"
            )
        every = check_real("checkpoint_every", checkpoint_every, 0, strict=True)
        folder = None if checkpoint is None else check_folder("checkpoint", checkpoint)
        if folder is not None:
            check_new(folder)
        done, n_pairs = last.n_epochs, inputs.trained.nnz
        networks = self._networks(inputs, last.networks, np.random.default_rng(last.seed))
        tables, averages = begin(inputs)
        state = TrainingState(tables, last.seed, ids, n_pairs, done, done * n_pairs)
        state.averages, state.networks = averages, networks
        state.move_to(inputs.device)
        state.user_retention = self._with_retention(inputs, last).settings.user_retention
        state.temperature = self._choose_temperature(replace(inputs, update=None), last)
        job = self._make_job(inputs, state)
        keeper = None
        if folder is not None:
            stored = self._stored(state.seed)
            keeper = Checkpoint(folder, every, stored, fingerprints(inputs), update)
        self._train(job, inputs, state, keeper, stacklevel=4)
        if keeper is not None and update.n_epochs == 0:
            keeper.write(state, finished=True)

    def _begin(self, inputs: FitInputs, generator: np.random.Generator) -> TrainingState:
        """A training from the start."""
        settings = inputs.settings
        seed = int(generator.integers(2**63))
        vectors = first_vectors(
            inputs.likes,
            settings.n_dims,
            settings.max_norm,
            generator,
            inputs.features.get("items"),
        )
        tables = Tables(inputs.device, settings.n_dims, *vectors, rowwise=settings.rowwise)
        state = TrainingState(tables, seed, inputs.ids, inputs.likes.nnz, first_epoch=0, position=0)
        state.networks = self._networks(inputs, {}, generator)
        state.user_retention = settings.user_retention
        return state

    @staticmethod
    def _networks(
        inputs: FitInputs, known: dict[str, FeatureNetwork], generator: np.random.Generator
    ) -> dict[str, FeatureNetwork]:
        """One for each kind of object with features: that of the last fit, or a new one."""
        settings = inputs.settings
        networks = {}
        for entity, features in inputs.features.items():
            network = known.get(entity)
            if network is not None and network.shape != (
                features.shape[1],
                settings.n_hidden,
                settings.n_dims,
            ):
                raise ValueError(
                    f"training goes on with a network for {network.shape[0]} features of {entity} "
                    f"and n_hidden={network.shape[1]}, got {features.shape[1]} and n_hidden="
                    f"{settings.n_hidden}; give as many, or begin anew: fit with warm_start=False"
                )
            networks[entity] = network or FeatureNetwork.random(
                features.shape[1],
                settings.n_dims,
                generator,
                n_hidden=settings.n_hidden,
                xp=namespace_on(inputs.device),
            )
        return networks

    def _make_job(self, inputs: FitInputs, state: TrainingState) -> ScheduledJob:
        settings = replace(_at_temperature(inputs.settings, state), seed=state.seed)
        if inputs.update is not None:  # the vectors have learned; they do not start again
            settings = replace(settings, feature_warm_up=0)
        job = make_job(state.tables, inputs.trained, settings)
        steps: list[ScheduledStep] = [
            FeatureStep(
                entity,
                network,
                inputs.features[entity],
                has_likes(inputs.likes, entity),
                state.tables,
                job,
                settings,
            )
            for entity, network in state.networks.items()
        ]
        if settings.cov_weight > 0:
            steps.append(CovarianceStep(state.tables, job, settings))
        begin_epoch = partial(draw_back, state.tables, state.user_retention)
        return ScheduledJob(
            job,
            state.n_pairs,
            launch_granularity(settings),
            steps,
            settings.learning_rate_of,
            begin_epoch,
        )

    def _train(
        self,
        job: ScheduledJob,
        inputs: FitInputs,
        state: TrainingState,
        checkpoint: Checkpoint | None,
        *,
        stacklevel: int = 3,
    ) -> None:
        validation, known = inputs.validation, None
        if validation is not None:
            validation = sample_of_users(validation, self.validation_users)
            known = in_memory(inputs.likes, np.flatnonzero(np.diff(validation.indptr)))
            overlap = validation.astype(bool).multiply(known.astype(bool)).nnz
            if overlap:
                warnings.warn(
                    f"validation: {overlap} of its pairs are in train too and count as missed",
                    stacklevel=stacklevel,
                )
        training = Training(
            job=job,
            state=state,
            settings=inputs.settings,
            validation=validation,
            known=known,
            n_epochs=int(self.n_epochs) if inputs.update is None else inputs.update.n_epochs,
            patience=self.patience,
            callbacks=[partial(callback, self) for callback in inputs.callbacks],
            publish=partial(self._publish, inputs),
            checkpoint=checkpoint,
            verbose=bool(self.verbose),
        )
        if not training.is_over():
            if checkpoint is not None:
                checkpoint.check_writable()
            self._announce(inputs)
        self._state = state
        self._likes = None if isinstance(inputs.given, MappedLikes) else inputs.given
        self.n_features_in_ = inputs.likes.shape[1]
        self.history_ = state.history
        self.device_, self.device_reason_ = inputs.device, inputs.reason
        self.temperature_ = state.temperature
        self.user_retention_ = state.user_retention
        self.n_negatives_ = inputs.settings.n_negatives
        self.weighting_ = inputs.weighting
        self.popularity_weight_ = weight_of(
            _at_temperature(inputs.settings, state), has_features=bool(state.networks)
        )
        try:
            training.run()
            for hint in hints(inputs, state):
                self._say(hint)
        finally:
            # Also when training is interrupted or diverges: what was learned is usable.
            state.return_to_best()
            self._publish(inputs)
            self.n_epochs_ = state.n_epochs

    def _publish(self, inputs: FitInputs) -> Vectors:
        """Make ``model_`` the present state of the tables, and return its vectors."""
        state = self._state
        vectors = dict(zip(("users", "items"), state.vectors(), strict=True))
        with blas_threads(inputs.settings.n_threads):
            for entity, network in state.networks.items():
                place_cold_start(
                    vectors[entity],
                    network,
                    inputs.features[entity],
                    has_likes(inputs.likes, entity),
                )
        counts, weight = inputs.counts, self.popularity_weight_
        if weight:
            at = _at_temperature(inputs.settings, state)
            bias = PopularityBias(weight, at, counts["user_counts"], counts["item_counts"])
            # Those without the bias are not kept meanwhile.
            biased = bias.add_to(vectors.pop("users"), vectors.pop("items"))
            vectors = dict(zip(("users", "items"), biased, strict=True))
        self.model_ = Model(
            vectors["users"],
            vectors["items"],
            **state.ids,
            hyperparameters=self._described(),
            networks=state.networks,
            history=history_of(state.history),
            **counts,
        )
        self.best_epoch_ = max(state.n_epochs - 1, 0)
        return self.model_.user_vectors, self.model_.item_vectors

    def _learned(self) -> dict[str, np.ndarray]:
        """The vectors of the model without the coordinate of its popularity bias."""
        r = self._state.tables.n_dims
        vectors = {"users": self.model_.user_vectors, "items": self.model_.item_vectors}
        return {name: np.ascontiguousarray(array[:, :r]) for name, array in vectors.items()}

    def _stored(self, seed: int) -> dict[str, Any]:
        """Hyper-parameters as plain values that make such a trainer again."""
        stored = {name: _plain(value) for name, value in self.get_params().items()}
        if isinstance(stored["random_state"], str):
            stored["random_state"] = seed  # a generator is no plain value
        return stored

    def _described(self) -> dict[str, Any]:
        """Hyper-parameters as plain values for the model's record."""
        described = {name: _plain(value) for name, value in recorded(self.get_params()).items()}
        described["weighting"] = self.weighting_
        described["user_retention"] = self.user_retention_
        described["n_negatives"] = self.n_negatives_
        described["popularity_weight"] = self.popularity_weight_
        if self.temperature_ is not None:
            described["temperature"] = self.temperature_
        return described

    def _announce(self, inputs: FitInputs) -> None:
        where = (
            f"{instruction_set()}, {inputs.settings.n_threads} thread(s)"
            if inputs.device == "cpu"
            else current_device()["name"]
        )
        self._say(f"training on {inputs.device} ({where}); {inputs.reason}")

    def _is_heard(self) -> bool:
        return bool(self.verbose) or logger.isEnabledFor(logging.INFO)

    def _say(self, message: str) -> None:
        logger.info(message)
        if self.verbose:
            print(f"cml_fast: {message}", file=sys.stderr)

    def _choose_temperature(self, inputs: FitInputs, last: TrainingState | None) -> float | None:
        """Of the softmax: the one named, that of the last fit, or what short trainings choose."""
        if inputs.settings.loss != "softmax":
            return None
        if self.temperature is not None:
            return inputs.settings.temperature
        if last is not None and last.temperature is not None:
            return last.temperature
        if self.user_retention is None and inputs.settings.user_retention < 1:
            # Chosen because of what it gains at this temperature; a higher one would learn no less
            # by heart, and rank worse at the top.
            return inputs.settings.temperature
        return choose_temperature(sampled(inputs), self._begin, self._make_job, self._say)

    def _with_retention(self, inputs: FitInputs, last: TrainingState | None) -> FitInputs:
        """The inputs with ``user_retention``: the one named, or what short trainings choose."""
        settings = inputs.settings
        used = self.n_epochs > 1 or self.warm_start
        if self.user_retention is not None:
            return inputs
        if last is not None:
            chosen = last.user_retention
        elif not used or inputs.features:  # features hold vectors back themselves
            return inputs
        elif settings.loss != "softmax":
            chosen = without_trials(np.diff(inputs.likes.indptr))
        else:
            chosen = choose_retention(sampled(inputs), self._begin, self._make_job, self._say)
        return replace(inputs, settings=replace(settings, user_retention=chosen))

    def _warm_state(self, inputs: FitInputs) -> TrainingState | None:
        """The state of the last fit, if this one continues it."""
        last: TrainingState | None = getattr(self, "_state", None)
        if not self.warm_start or last is None:
            return None
        shape, tables = inputs.likes.shape, last.tables
        if tables.shape != shape:
            raise ValueError(
                f"warm_start=True continues from tables for {tables.shape} users and items, got "
                f"{shape}; set warm_start=False to begin anew, or call partial_fit for new users "
                "and items"
            )
        self._check_continues(last, inputs, " or warm_start=False")
        if tables.device != inputs.device:
            raise ValueError(
                f"warm_start=True continues from tables on {tables.device}, but the device is now "
                f"{inputs.device}; set device={tables.device!r} or warm_start=False"
            )
        _check_same_ids(inputs.ids, last.ids, "the last fit", "set warm_start=False")
        return last

    @staticmethod
    def _check_continues(last: TrainingState, inputs: FitInputs, otherwise: str) -> None:
        """Refuse hyper-parameters that the tables of the last fit do not fit."""
        tables, settings = last.tables, inputs.settings
        if tables.n_dims != settings.n_dims:
            raise ValueError(
                f"training goes on with vectors of n_dims={tables.n_dims}, got n_dims="
                f"{settings.n_dims}; set the n_dims of the last fit{otherwise}"
            )
        if tables.rowwise != settings.rowwise:
            raise ValueError(
                "training goes on with the state of another optimizer; set the optimizer of the "
                f"last fit{otherwise}"
            )


def _at_temperature(settings: Settings, state: TrainingState) -> Settings:
    if state.temperature is None:
        return settings
    return replace(settings, temperature=state.temperature)


def _refuse_likes(method: str, y: Any) -> None:
    if sp.issparse(y) or isinstance(y, Interactions | Pairs):
        raise TypeError(
            f"the second argument of {method} is y, which is not used; for likes to validate on, "
            "name the argument: validation="
        )


def _check_same_ids(
    ids: dict[str, np.ndarray], known: dict[str, np.ndarray], whose: str, otherwise: str
) -> None:
    # A matrix has no ids: its rows and columns are taken to be the same users and items.
    if known and any(not same_ids(ids[name], known[name]) for name in ids):
        raise DataError(
            f"the ids of train differ from those of {whose}; load train with its user_ids and "
            f"item_ids, or {otherwise}"
        )


def _plain(value: Any) -> bool | int | float | str | None:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    return None if value is None else str(value)
