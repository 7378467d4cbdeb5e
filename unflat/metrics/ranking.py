"""How well a score finds what it should: average precision."""

import numpy as np
from jaxtyping import Bool, Float


def average_precision(score: Float[np.ndarray, "n"], positive: Bool[np.ndarray, "n"]) -> float:
    """The area under precision over recall, as steps, from the highest score down; NaN without a positive.

    Equal scores are found together. A score that knows nothing gets the share of positives (1 is perfect).
    """
    if not positive.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)  # of the equal ones
    found = np.cumsum(positive[order])[last]
    precision, recall = found / (np.flatnonzero(last) + 1), found / found[-1]
    return float((np.diff(recall, prepend=0.0) * precision).sum())
