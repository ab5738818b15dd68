"""From decision scores to probabilities and thresholds, at the prevalence expected in use.

A written corpus is a quarter positive in every sector, a news stream a few per cent. Out-of-fold scores are therefore
weighted so that positives weigh what the declared prevalence says (Saerens et al. 2002), before a sigmoid is
fitted to them (Platt 1999) and a threshold chosen. Nothing here looks at scores of articles a model was fitted on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """How one sector's decision scores become probabilities and predictions.

    probability = 1 / (1 + exp(-(slope * score + offset))); the sector is predicted from `threshold` (a probability) on.
    """

    slope: float
    offset: float
    threshold: float


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), elementwise."""
    with np.errstate(over="ignore"):  # exp overflows to infinity, and 1 / infinity is the right 0
        return np.asarray(1.0 / (1.0 + np.exp(-x)))


def prevalence_weights(positive: npt.NDArray[np.bool_], prevalence: float) -> Floats:
    """Weights (n,), 1 on average, under which the share of positives is `prevalence`."""
    share = float(positive.mean())
    return np.asarray(np.where(positive, prevalence / share, (1 - prevalence) / (1 - share)))


def calibrate(scores: Floats, positive: npt.NDArray[np.bool_], prevalence: float, beta: float = 1.0) -> Calibration:
    """Fit one sector's calibration to out-of-fold scores.

    Parameters: scores (n,), positive (n,); prevalence, the share of positives expected in use; beta, how many times as
    much recall counts as precision in the F-beta that the threshold maximises.

    Raises ValueError unless both positives and negatives are there and 0 < prevalence < 1.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    if not 0 < prevalence < 1:
        raise ValueError(f"found prevalence {prevalence}, expected a share between 0 and 1")
    if positive.all() or not positive.any():
        raise ValueError(f"found {positive.sum()} positive of {positive.size} articles, expected both kinds")
    weights = prevalence_weights(positive, prevalence)
    with threadpool_limits(1):  # sums whose last digits do not depend on the machine's cores
        fitted = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(scores[:, None], positive, weights)
    slope, offset = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    return Calibration(slope, offset, best_threshold(sigmoid(slope * scores + offset), weights, beta))


def best_threshold(probabilities: Floats, weights: Floats, beta: float = 1.0) -> float:
    """The threshold of the largest expected F-beta, the probabilities taken at their word.

    F-beta is worked out from expected counts (weight times probability) instead of from labels: the sigmoid pools
    all articles, so one odd article next to the optimum does not move the threshold (Lipton et al. 2014 show the
    optimum for F1 to be half of the F1 reached).

    Parameters: probabilities (n,), weights (n,).
    """
    order = np.argsort(-probabilities, kind="stable")
    ranked, weight = probabilities[order], weights[order]
    true_positives = np.cumsum(weight * ranked)
    predicted = np.cumsum(weight)
    f_beta = (1 + beta**2) * true_positives / (predicted + beta**2 * true_positives[-1])
    best = int(f_beta.argmax())
    following = ranked[best + 1] if best + 1 < ranked.size else 0.0
    return float((ranked[best] + following) / 2)
