"""The best classes by name instead of all numbers.

Triton Inference Server, docs/protocol/extension_classification.md.
"""

from collections.abc import Sequence

import numpy as np


def classify(output: np.ndarray, *, classes: int, labels: Sequence[str]) -> list[list[str]]:
    """Return for each item of the batch its best `classes`, best first, each as `value:index:label`.

    Of equal values the one of the lower index comes first. NaN is worse than every number.

    Args:
        output: [N, ...]; all axes behind the first are counted through as classes.
        classes: how many, at least 1; all where there are fewer.
        labels: names of the classes; a class without one is `value:index`.
    """
    scores = output.reshape(len(output), -1)
    # Widened, so that the least integer can be turned around; sorting puts what is not a number last.
    order = np.argsort(-scores.astype(np.float64), axis=1, kind="stable")[:, :classes]
    return [
        [_entry(float(row[index]), index, labels) for index in best]
        for row, best in zip(scores, order.tolist(), strict=True)
    ]


def _entry(value: float, index: int, labels: Sequence[str]) -> str:
    # Triton prints with C++'s std::to_string, which is `%f`.
    return f"{value:f}:{index}:{labels[index]}" if index < len(labels) else f"{value:f}:{index}"
