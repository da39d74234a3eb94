"""Logistic regression with few weights, many times on the same data: once for each bootstrap draw.

Shapes: R draws, N examples, D weights.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PENALTY = 1e-3  # times the sum of squared weights: what always holds gets a large weight, not an infinite one
STEPS, TOLERANCE = 100, 1e-10


def fit(x_ND: Floats, y_N: Floats | float, counts_RN: Floats) -> Floats:
    """(R, D) weights w that make ``y_N`` likeliest, P(y = 1) = 1 / (1 + exp(-x w)); each example counts so many times.

    By Newton's method on the log-likelihood minus ``PENALTY`` times the sum of squared weights.
    """
    weights_RD = np.zeros((len(counts_RN), x_ND.shape[1]))
    ridge = 2 * PENALTY * np.eye(x_ND.shape[1])
    for _ in range(STEPS):
        expected_RN = 1 / (1 + np.exp(-weights_RD @ x_ND.T))
        gradient = (counts_RN * (y_N - expected_RN)) @ x_ND - 2 * PENALTY * weights_RD
        curvature = np.einsum("rn,nd,ne->rde", counts_RN * expected_RN * (1 - expected_RN), x_ND, x_ND) + ridge
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        weights_RD += np.clip(step, -1.0, 1.0)  # from afar Newton's step may overshoot
        if np.abs(step).max() < TOLERANCE:
            break
    return weights_RD
