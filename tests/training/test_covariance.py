"""Covariance regularisation: against sums written out, finite differences, other namespaces."""

import numpy as np
import pytest

from cml_fast._compute.array_api import to_numpy
from cml_fast._training.covariance import covariance_loss


def correlated(n, r, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, r)) @ rng.normal(size=(r, r)) + rng.normal(size=r)


def by_loops(vectors):
    """L_c as it is defined, entry by entry."""
    n, r = vectors.shape
    mean = [sum(vectors[k, i] for k in range(n)) / n for i in range(r)]
    loss = 0.0
    for i in range(r):
        for j in range(r):
            deviations = ((y[i] - mean[i]) * (y[j] - mean[j]) for y in vectors)
            if i != j:
                loss += (sum(deviations) / n) ** 2
    return loss


@pytest.mark.parametrize(("n", "r"), [(2, 2), (7, 3), (3, 7), (20, 5)])
def test_loss_is_the_sum_over_the_entries(n, r):
    vectors = correlated(n, r)
    expected = by_loops(vectors)
    assert expected > 0.01
    assert covariance_loss(vectors)[0] == pytest.approx(expected, rel=1e-12)


def test_loss_by_hand():
    # z = -+(1, 1.5): two dimensions of covariance 1.5, which counts twice, as C_12 and C_21.
    vectors = np.array([[0.0, 3.0], [2.0, 6.0], [0.0, 3.0], [2.0, 6.0]])
    loss, gradient = covariance_loss(vectors)
    assert loss == 2 * 1.5**2
    # 4/N z_n O, where O swaps the two and multiplies by 1.5.
    first = [-1.5 * 1.5, -1 * 1.5]
    np.testing.assert_array_equal(gradient, np.multiply([[1], [-1], [1], [-1]], first))


@pytest.mark.parametrize(("n", "r"), [(2, 2), (7, 3), (3, 7), (20, 5)])
def test_gradient_is_that_of_finite_differences(n, r):
    vectors = correlated(n, r)
    gradient = covariance_loss(vectors)[1]
    step, expected = 1e-5, np.zeros_like(vectors)
    for place in np.ndindex(vectors.shape):
        above, below = vectors.copy(), vectors.copy()
        above[place] += step
        below[place] -= step
        difference = covariance_loss(above)[0] - covariance_loss(below)[0]
        expected[place] = difference / (2 * step)
    assert abs(expected).max() > 0.1
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-7 * abs(expected).max())


def test_negative_covariances_are_penalised_like_positive_ones():
    vectors = correlated(20, 2)
    loss, gradient = covariance_loss(vectors)
    mirrored, mirrored_gradient = covariance_loss(vectors * [1, -1])
    assert mirrored == pytest.approx(loss, rel=1e-12) and loss > 0.01
    np.testing.assert_allclose(mirrored_gradient, gradient * [1, -1], rtol=1e-12)


def test_what_has_no_common_part_is_left_alone():
    corners = np.array([[1.0, 2.0], [1.0, -2.0], [-1.0, 2.0], [-1.0, -2.0]])
    for vectors in (corners, np.full((5, 3), 0.5), np.ones((1, 4)), correlated(9, 1)):
        loss, gradient = covariance_loss(vectors)
        assert loss == 0
        np.testing.assert_array_equal(gradient, np.zeros_like(vectors))


def test_descent_decorrelates():
    vectors = correlated(50, 4) / 4
    variances = vectors.var(axis=0)
    first = covariance_loss(vectors)[0]
    for _ in range(1000):
        vectors = vectors - 3 * covariance_loss(vectors)[1]
    assert covariance_loss(vectors)[0] < 1e-6 * first
    correlations = np.corrcoef(vectors.T) - np.eye(4)
    assert abs(correlations).max() < 0.01
    assert (vectors.var(axis=0) > 0.05 * variances).all()  # and does not shrink all to a point


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_namespace_gives_the_same_numbers(xp, dtype):
    vectors = correlated(300, 20).astype(dtype)
    given = xp.asarray(vectors)
    loss, gradient = covariance_loss(given)
    assert type(gradient) is type(given) and isinstance(loss, type(given) | np.generic)
    assert loss.dtype == gradient.dtype == given.dtype
    expected_loss, expected = covariance_loss(vectors.astype(np.float64))
    tolerance = 50 * float(np.finfo(dtype).eps)
    assert float(loss) == pytest.approx(expected_loss, rel=tolerance)
    np.testing.assert_allclose(
        to_numpy(gradient), expected, rtol=0, atol=tolerance * abs(expected).max()
    )
    np.testing.assert_array_equal(to_numpy(given), vectors)
