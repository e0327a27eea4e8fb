"""The bound of gradients against gradients that were derived without it, for every loss.

Mini-batches round gradients to a unit that follows from this bound: were it too low, sums could
overflow and training would be refused; were it far too high, the rounding would be coarse.
"""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from oracle.gradients import step_gradients
from oracle.problem import Tables, new_counters
from support import kernels
from support.kernels import make_job, oracle_settings, settings

from cml_fast import _core
from cml_fast._compute.gradient_bound import gradient_bound
from cml_fast._compute.losses import LOSSES

N_DIMS = 3
TIGHT = 64  # the largest gradient that these tests find is at most so many times below the bound

# For each loss hyper-parameters with which large gradients can be reached. Lengths are in units of
# max_norm.
EXTREMES = {
    "warp": [{"n_negatives": 1}, {"n_negatives": 20, "margin": 9.0}],
    "shared_warp": [{"n_negatives": 1}, {"n_negatives": 20, "margin": 9.0}],
    "softmax": [
        {"n_negatives": 9, "temperature": 0.01},
        {"n_negatives": 1, "temperature": 0.01, "importance_weight": 40.0},
        {"n_negatives": 9, "temperature": 10.0, "importance_weight": 5.0},
    ],
    "contrastive": [
        {"n_negatives": 9, "margin": 9.0, "negative_weight": 0.01},
        {"n_negatives": 9, "margin": 9.0, "negative_weight": 30.0},
        {"n_negatives": 1, "margin": 9.0, "negative_weight": 1.0},
    ],
}
CASES = [(loss, changes) for loss, several in EXTREMES.items() for changes in several]


def scaled(loss, changes, max_norm, tile_size, **others):
    """Settings with these hyper-parameters; squared distances are in units of max_norm^2."""
    lengths = {k: v * max_norm**2 for k, v in changes.items() if k in ("margin", "temperature")}
    tiles = {} if loss == "warp" else {"tile_size": tile_size}
    given = {"loss": loss, "max_norm": max_norm, "n_dims": N_DIMS, "batch_size": 64}
    return settings(**{**given, **changes, **lengths, **tiles, **others})


def bound_of(chosen, likes):
    return gradient_bound(
        chosen, _core.rank_weights(likes.shape[1], chosen.n_negatives), likes.data
    )


# --- what the oracle adds up ------------------------------------------------------------------

TILE = 8


def likes_of(layout, weight):
    """All pairs of a tile have the same user, the same positive, or the same negatives."""
    dense = {
        "one user": np.repeat([[1.0, 0.0]], [TILE, TILE], axis=1),
        "one positive": np.pad(np.ones((TILE, 1)), ((0, 0), (0, 12))),
        "one negative": np.pad(np.ones((TILE, 1)), ((0, 0), (0, 1))),
    }[layout]
    return sp.csr_array(dense * weight)


LAYOUTS = ["one user", "one positive", "one negative"]
ENDS = np.array([1.0, 0.0, -1.0])


def adversarial_vectors(likes, max_norm):
    """Users, positives and negatives at the ends of a diameter or in the middle: all 27 ways."""
    axis = np.ones(N_DIMS) / np.sqrt(N_DIMS) * max_norm
    positives = np.isin(np.arange(likes.shape[1]), likes.indices)
    for user, positive, negative in itertools.product(ENDS, repeat=3):
        items = np.where(positives, positive, negative)
        yield np.full((likes.shape[0], 1), user) * axis, items[:, None] * axis


def random_vectors(likes, max_norm, n=20):
    """Random points on the sphere, and in the ball."""
    rng = np.random.default_rng(3)
    for at in range(n):
        tables = [rng.normal(size=(rows, N_DIMS)) for rows in likes.shape]
        lengths = [1 if at % 2 else rng.random((len(x), 1)) for x in tables]
        yield tuple(
            x * max_norm * length / np.linalg.norm(x, axis=1, keepdims=True)
            for x, length in zip(tables, lengths, strict=True)
        )


def largest_in_the_oracle(likes, chosen, vectors):
    """The largest norm of what one pair, or one tile of pairs, adds to the gradient of a row."""
    largest = 0.0
    for users, items in vectors:
        tables = Tables(users, np.zeros_like(users), items, np.zeros_like(items))
        samples = range(likes.nnz)
        for step in step_gradients(tables, likes, samples, oracle_settings(chosen), new_counters()):
            sums = {}
            for name, row, gradient in step:
                sums[name, row] = sums.get((name, row), 0) + gradient
            largest = max([largest, *map(np.linalg.norm, sums.values())])
    return largest


@pytest.mark.parametrize(("loss", "changes"), CASES)
@pytest.mark.parametrize(("weight", "max_norm"), [(1.0, 1.0), (7.5, 0.02), (0.25, 50.0)])
def test_no_gradient_of_the_oracle_is_larger(loss, changes, weight, max_norm):
    chosen = scaled(loss, changes, max_norm, TILE)
    nearest = 0.0
    for layout in LAYOUTS:
        likes = likes_of(layout, weight)
        bound = bound_of(chosen, likes)
        for vectors in (adversarial_vectors, random_vectors):
            largest = largest_in_the_oracle(likes, chosen, vectors(likes, max_norm))
            assert largest < bound, (layout, vectors.__name__)
            nearest = max(nearest, largest / bound)
    assert nearest > 1 / TIGHT


def test_every_loss_is_checked():
    assert EXTREMES.keys() == LOSSES.keys() == FUNCTIONS.keys()


# --- what finite differences give -------------------------------------------------------------

# The losses of a pair, written again: functions of squared distances, of a positive and of its
# negatives. They share no code with the package or the oracle.


def warp(positive, negatives, n_items, chosen):
    hinges = np.maximum(chosen.margin + positive - negatives, 0)
    rank = n_items * (hinges > 0).sum() // len(negatives)
    return np.log(rank + 1) * hinges.max()


def softmax(positive, negatives, n_items, chosen):
    others = np.exp((positive - negatives) / chosen.temperature)
    return np.log1p(chosen.importance_weight * others.sum())


def contrastive(positive, negatives, n_items, chosen):
    return positive + chosen.negative_weight * np.maximum(chosen.margin - negatives, 0).sum()


FUNCTIONS = {
    "warp": warp,
    "shared_warp": warp,
    "softmax": softmax,
    "contrastive": contrastive,
}


def loss_of_a_tile(x, role, others, n_items, chosen):
    """Pairs that all meet in the row x, which is their user, their positive or their negatives."""
    total = 0.0
    for u, v_j, v_k in others:
        u, v_j = (x if role == name else row for name, row in (("user", u), ("positive", v_j)))
        v_k = np.broadcast_to(x, v_k.shape) if role == "negatives" else v_k
        distances = ((u - v_j) ** 2).sum(), ((u - v_k) ** 2).sum(axis=1)
        total += FUNCTIONS[chosen.loss](*distances, n_items, chosen)
    return total


def slope(function, x, step):
    """The gradient by central differences."""
    gradient = np.zeros_like(x)
    for place in range(len(x)):
        shift = np.zeros_like(x)
        shift[place] = step
        gradient[place] = (function(x + shift) - function(x - shift)) / (2 * step)
    return gradient


@pytest.mark.parametrize(("loss", "changes"), CASES)
@pytest.mark.parametrize("weight", [1.0, 7.5])
def test_no_slope_is_larger(loss, changes, weight):
    """All pairs that are added up before rounding share a row: a tile of 5, or a pair alone."""
    n_items, tile_size, max_norm = 60, 5, 0.5
    chosen = scaled(loss, changes, max_norm, tile_size)
    likes = sp.csr_array(np.full((2, n_items), weight))
    bound = bound_of(chosen, likes)
    n_pairs = 1 if loss == "warp" else tile_size
    axis = np.array([max_norm, 0.0, 0.0])
    slopes = []
    for role in ("user", "positive", "negatives"):
        # Not quite at the ends: on an end two of the distances may be equal, where hinges bend.
        for u, v_j, v_k in itertools.product([0.97, 0.013, -0.98], repeat=3):
            negatives = np.tile(v_k * axis, (chosen.n_negatives, 1))
            negatives[:, 1] = np.linspace(0, 0.1 * max_norm, chosen.n_negatives)
            others = [(u * axis, v_j * axis, negatives)] * n_pairs
            x = {"user": u, "positive": v_j, "negatives": v_k}[role] * axis

            def function(x, role=role, others=others):
                return weight * loss_of_a_tile(x, role, others, n_items, chosen)

            slopes.append(np.linalg.norm(slope(function, x, 1e-7)))
    assert bound / TIGHT < max(slopes) < bound


# --- what the kernels accept ------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("loss", "changes"), CASES)
def test_the_kernel_refuses_no_gradient_in_the_ball(loss, changes, layout):
    """It compares gradients with the bound, in float32 and from distances alone."""
    chosen = scaled(loss, changes, 1.0, TILE, batch_size=TILE, learning_rate=1e-6)
    likes = likes_of(layout, 7.5).astype(np.float32)
    for users, items in adversarial_vectors(likes, 1.0):
        vectors = (x.astype(np.float32) for x in (users, items))
        tables = kernels.Tables("cpu", N_DIMS, *vectors)
        counters = make_job(tables, likes, chosen).run(0, likes.nnz)
        assert counters.first_non_finite is None
        assert counters.pairs == likes.nnz


# --- its limits -------------------------------------------------------------------------------


def test_the_largest_weight_counts():
    likes = sp.csr_array(np.array([[1.0, 8.0, 2.0, 0.0]]))
    alone = sp.csr_array(np.array([[0.0, 8.0, 0.0, 0.0]]))
    for loss, changes in CASES:
        chosen = scaled(loss, changes, 1.0, TILE)
        assert bound_of(chosen, likes) == bound_of(chosen, alone)
        assert bound_of(chosen, likes) == pytest.approx(8 * bound_of(chosen, alone / 8))


@pytest.mark.parametrize("loss", LOSSES)
def test_the_bound_lies_between_1e_15_and_1e15(loss):
    """Where squares of gradients and sums of them are held by float32 and int64."""
    chosen = scaled(loss, {}, 1.0, TILE, batch_size=0)
    assert bound_of(chosen, sp.csr_array(np.full((2, 4), 1e-30))) == 1e-15
    assert bound_of(chosen, sp.csr_array(np.full((2, 4), 1e30))) == 1e15


@pytest.mark.parametrize("loss", ["softmax", "contrastive"])
def test_mini_batches_that_could_not_add_up_are_refused(loss):
    likes = sp.csr_array(np.full((2, 4), 1e16))
    with pytest.raises(
        ValueError, match=r"weights of up to 1e\+16 times their mean may give gradients"
    ):
        bound_of(scaled(loss, {}, 1.0, TILE), likes)
    assert bound_of(scaled(loss, {}, 1.0, TILE, batch_size=0), likes) == 1e15


@pytest.mark.parametrize("name", ["hinge", "", "Warp", None])
def test_an_unknown_loss_is_refused(name):
    likes = sp.csr_array(np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"loss must be one of .*'softmax'.*, got "):
        bound_of(scaled(name, {}, 1.0, TILE), likes)
