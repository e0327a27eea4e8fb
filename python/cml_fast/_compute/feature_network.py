"""The feature network (Hsieh et al., WWW 2017, section 3.3): where features place an object."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import DataError
from .array_api import ignore_spurious_flags, namespace_of, to_numpy
from .counter_rng import DROPOUT, random_words
from .settings import ADAGRAD_EPSILON

PARAMETERS = ("w1", "b1", "w2", "b2")
# Of the median length: further out, new items are hardly ever among the nearest; further in, they
# push others out. Measured in docs/features.md.
SHARE_OF_LENGTH = 0.85
# Rows that are embedded together, to bound the memory for their hidden layers.
BLOCK_ROWS = 1 << 14
# Hidden units that are dropped together, at most: they are copied in one piece. A power of 2.
GROUP_UNITS = 64
# Groups of a network that has the units for it.
LEAST_GROUPS = 16
# Elements of a parameter that are updated together.
BLOCK_ELEMENTS = 1 << 16


class FeatureNetwork:
    """f(x) = max(0, x w1 + b1) w2 + b2, trained by AdaGrad with dropout on its hidden layer.

    Features are (n, m) matrices of the weights' dtype, one row for each object: dense ones of the
    weights' namespace, or scipy.sparse CSR with NumPy weights and cupyx.scipy.sparse CSR with
    CuPy's. Sparse ones are never made dense. A row of zeros is fine: it is placed by the biases.

    Attributes
    ----------
    parameters : dict of str to array
        w1 (m, h), b1 (h,), w2 (h, r), b2 (r,): m features, h hidden units, r dimensions. Arrays
        of one floating dtype and one namespace: NumPy, CuPy or another of the array API standard.
    accumulators : dict of str to array
        For each parameter the sums of its squared gradients.
    """

    def __init__(self, parameters: Mapping[str, Any], accumulators: Mapping[str, Any]) -> None:
        """Take over the arrays: training changes them in place."""
        self.parameters = dict(parameters)
        self.accumulators = dict(accumulators)

    @classmethod
    def random(
        cls,
        n_features: int,
        n_dims: int,
        generator: np.random.Generator,
        *,
        n_hidden: int = 256,
        xp: Any = np,
    ) -> FeatureNetwork:
        """A network to be trained, float32, of the namespace ``xp``.

        The weights of a layer are uniform in +-sqrt(6 / (inputs + outputs)) (Glorot and Bengio,
        AISTATS 2010, eq. 16), the biases zero, as in the code of the paper's authors.
        """

        def weights(*shape: int) -> np.ndarray:
            bound = np.sqrt(6 / sum(shape))
            return generator.uniform(-bound, bound, shape).astype(np.float32)

        arrays = {
            "w1": weights(n_features, n_hidden),
            "b1": np.zeros(n_hidden, dtype=np.float32),
            "w2": weights(n_hidden, n_dims),
            "b2": np.zeros(n_dims, dtype=np.float32),
        }
        return cls.from_arrays(arrays, xp)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], xp: Any = np) -> FeatureNetwork:
        """A network of the namespace ``xp`` with copies of the arrays that `to_arrays` gave.

        Without the accumulators, which only training needs, these are zero.
        """
        parameters, accumulators = {}, {}
        for name in PARAMETERS:
            values = arrays[name]
            squares = arrays.get(f"{name}_accumulators", np.zeros_like(values))
            parameters[name] = xp.asarray(np.array(values))
            accumulators[name] = xp.asarray(np.array(squares))
        return cls(parameters, accumulators)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Parameters, by their names, and accumulators, ``w1_accumulators`` etc. (copies)."""
        arrays = {name: to_numpy(self.parameters[name]) for name in PARAMETERS}
        for name in PARAMETERS:
            arrays[f"{name}_accumulators"] = to_numpy(self.accumulators[name])
        return arrays

    @ignore_spurious_flags
    def embed(self, features: Any) -> Any:
        """Where the features (n, m) place their objects: f(x), without dropout.

        Returns
        -------
        array (n, r) of the weights' dtype and namespace
            Not pulled into the ball of the vectors.

        Raises
        ------
        TypeError, DataError
            If ``features`` has another dtype than the weights, or another number of columns.
        """
        w2, b2 = self.parameters["w2"], self.parameters["b2"]
        xp, n = namespace_of(w2), features.shape[0]
        vectors = xp.empty((n, w2.shape[1]), dtype=w2.dtype)
        for start in range(0, n, BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, n)
            inputs = self._hidden_inputs(features[start:stop, :])
            hidden = xp.where(inputs < 0, xp.zeros_like(inputs), inputs)
            vectors[start:stop, :] = hidden @ w2 + b2
        return vectors

    def kept_groups(self, seed: int, step: int) -> np.ndarray:
        """The groups of hidden units that take part in a step of training, ascending, int64.

        A group is `group_size` units that lie side by side. Half of the groups are dropped
        (Srivastava et al., JMLR 2014), for all objects of the step alike, which saves their time.
        The draw comes from counters, so a step has its groups whatever was drawn before it.

        Parameters
        ----------
        seed : int in [0, 2^64)
        step : int in [0, 2^64)
            Networks with the same seed need different steps to keep different groups.
        """
        n_groups = self.shape[1] // self.group_size
        words = random_words(seed, DROPOUT, (step, 0), n_groups)
        return np.sort(np.argsort(words, kind="stable")[: -(-n_groups // 2)])

    def part(self, columns: Any, groups: Any) -> FeatureNetwork:
        """A smaller network, with these features and these groups of hidden units, to be trained.

        Parameters
        ----------
        columns : array (c,) of int64, of the weights' namespace
            Features; objects that are given to the part have no others.
        groups : array (g,) of int64, of the weights' namespace
            See `kept_groups`.

        Returns
        -------
        FeatureNetwork
            Of copies, which `take_back` takes back, but for b2, which is shared.
        """

        places = self._places(columns, groups)

        def cut(arrays: Mapping[str, Any]) -> dict[str, Any]:
            w1, b1, w2 = self._by_group(arrays)
            return {
                "w1": w1.take(places, axis=0).reshape(len(columns), -1),
                "b1": b1.take(groups, axis=0).reshape(-1),
                "w2": w2.take(groups, axis=0).reshape(-1, w2.shape[-1]),
                "b2": arrays["b2"],
            }

        return FeatureNetwork(cut(self.parameters), cut(self.accumulators))

    def take_back(self, part: FeatureNetwork, columns: Any, groups: Any) -> None:
        """Take back what `part` copied for these columns and groups."""
        places = self._places(columns, groups)
        for arrays, own in (
            (self.parameters, part.parameters),
            (self.accumulators, part.accumulators),
        ):
            w1, b1, w2 = self._by_group(arrays)
            w1[places] = own["w1"].reshape(len(places), -1)
            b1[groups] = own["b1"].reshape(len(groups), -1)
            w2[groups] = own["w2"].reshape(len(groups), -1, w2.shape[-1])

    def _by_group(self, arrays: Mapping[str, Any]) -> tuple[Any, Any, Any]:
        """Views of w1, b1 and w2 with one row for each group (of each feature, in w1)."""
        size = self.group_size
        return (
            arrays["w1"].reshape(-1, size),
            arrays["b1"].reshape(-1, size),
            arrays["w2"].reshape(-1, size, self.shape[2]),
        )

    def _places(self, columns: Any, groups: Any) -> Any:
        """The rows of these features' groups in the view of w1."""
        n_groups = self.shape[1] // self.group_size
        return (columns[:, None] * n_groups + groups).reshape(-1)

    @ignore_spurious_flags
    def loss_and_gradients(
        self, features: Any, vectors: Any, scale: float = 1.0
    ) -> tuple[Any, dict[str, Any], Any]:
        """L_f = sum_j ||f(x_j) - v_j||^2 over some objects, and its gradients.

        Parameters
        ----------
        features : matrix (n, m)
            The objects' features x_j, see the class.
        vectors : array (n, r) of the weights' dtype and namespace
            Their vectors v_j, in the same order.
        scale : float
            What the hidden units are multiplied by: with inverted dropout all units of the network
            divided by those of this `part` of it.

        Returns
        -------
        loss : array () of the weights' dtype and namespace
            L_f, a sum, not a mean. Not copied to the host. It is not finite where a number on the
            way to it was not.
        gradients : dict of str to array
            dL_f / dparameter, by the parameters' names and of their shapes.
        vector_gradients : array (n, r)
            dL_f / dv_j = 2 (v_j - f(x_j)).

        Raises
        ------
        TypeError, DataError
            As for `embed`.
        """
        w2, b2 = self.parameters["w2"], self.parameters["b2"]
        xp = namespace_of(w2)
        inputs = self._hidden_inputs(features)
        # Dropout and the ReLU both multiply by a number that does not change with the input, so
        # the same numbers take values forwards and gradients backwards.
        gate = xp.where(inputs > 0, xp.full_like(inputs, scale), xp.zeros_like(inputs))
        hidden = inputs * gate
        error = hidden @ w2 + b2 - vectors
        d_output = 2 * error
        d_inputs = d_output @ w2.T * gate
        gradients = {
            "w1": features.T @ d_inputs,
            "b1": xp.sum(d_inputs, axis=0),
            "w2": hidden.T @ d_output,
            "b2": xp.sum(d_output, axis=0),
        }
        return xp.sum(error * error), gradients, -d_output

    def step(self, gradients: Mapping[str, Any], learning_rate: float) -> None:
        """One AdaGrad step of each parameter along its gradient, as csrc/core/update.h takes it."""
        rate = float(learning_rate)  # NumPy's float64 would turn float32 arrays into its own kind
        for name, gradient in gradients.items():
            xp = namespace_of(gradient)
            # On a CPU in blocks of rows: what is computed on the way to a step stays in its cache.
            n = gradient.shape[0]
            row = gradient.shape[1] if gradient.ndim > 1 else 1
            size = max(BLOCK_ELEMENTS // row, 1) if xp is np else n
            for start in range(0, n, size):
                rows = slice(start, min(start + size, n))
                g, squares = gradient[rows, ...], self.accumulators[name][rows, ...]
                squares += g * g
                parameter = self.parameters[name][rows, ...]
                parameter -= rate * g / xp.sqrt(squares + ADAGRAD_EPSILON)

    @property
    def group_size(self) -> int:
        """Hidden units that are dropped together: so many divide h into `LEAST_GROUPS` or more."""
        n_hidden = self.shape[1]
        most = max(n_hidden // LEAST_GROUPS, 1)
        return math.gcd(n_hidden, GROUP_UNITS, 1 << (most.bit_length() - 1))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Features, hidden units, dimensions."""
        return (*self.parameters["w1"].shape, self.parameters["w2"].shape[1])

    def on(self, xp: Any) -> FeatureNetwork:
        """This network if it is of the namespace ``xp``, otherwise a copy there."""
        if namespace_of(self.parameters["w1"]) is xp:
            return self
        return self.from_arrays(self.to_arrays(), xp)

    def copy(self) -> FeatureNetwork:
        """A network of its own, on the same device."""
        return FeatureNetwork(
            {name: array.copy() for name, array in self.parameters.items()},
            {name: array.copy() for name, array in self.accumulators.items()},
        )

    def _hidden_inputs(self, features: Any) -> Any:
        """What goes into the hidden layer's ReLU, (n, h)."""
        w1, b1 = self.parameters["w1"], self.parameters["b1"]
        if features.dtype != w1.dtype:
            raise TypeError(f"features must be of dtype {w1.dtype}, got {features.dtype}")
        if features.shape[1] != w1.shape[0]:
            raise DataError(
                f"features must have the {w1.shape[0]} columns that the network was made for, got "
                f"{features.shape[1]}"
            )
        return features @ w1 + b1


def cold_start_vectors(network: FeatureNetwork, features: Any, learned: np.ndarray) -> np.ndarray:
    """Where features (n, m) alone place objects: in the direction of f(x), (n, r).

    All at one distance from the origin, `SHARE_OF_LENGTH` of the median length of the vectors that
    were ``learned``, (n', r), of the same kind of object: f(x) is about the mean of all vectors
    that such features may go with, so the less they say, the shorter it is, and the nearer to
    everybody. All with NumPy.
    """
    vectors: np.ndarray = network.embed(features)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    length = SHARE_OF_LENGTH * np.median(np.linalg.norm(learned, axis=1))
    vectors *= length / np.where(lengths > 0, lengths, 1)
    return vectors


def into_ball(vectors: Any, max_norm: float) -> Any:
    """Vectors (n, r) pulled into the ball of radius ``max_norm``, in place."""
    xp = namespace_of(vectors)
    norms = xp.sqrt(xp.sum(vectors * vectors, axis=1, keepdims=True))
    vectors *= max_norm / xp.where(norms > max_norm, norms, xp.full_like(norms, max_norm))
    return vectors


def check_network(arrays: Mapping[str, np.ndarray], n_dims: int) -> None:
    """Raise ValueError unless stored arrays make a network with outputs of ``n_dims``."""
    n_features, n_hidden = arrays["w1"].shape if arrays["w1"].ndim == 2 else (0, 0)
    shapes = {"w1": (n_features, n_hidden), "b1": (n_hidden,), "w2": (n_hidden, n_dims)}
    shapes["b2"] = (n_dims,)
    for name, array in arrays.items():
        expected = shapes[name.removesuffix("_accumulators")]
        if array.shape != expected or n_features == 0 or not np.isfinite(array).all():
            raise ValueError(f"a network's {name} must be finite and {expected}, got {array.shape}")
