"""The classification extension: the best classes as text instead of all numbers.

Triton Inference Server, docs/protocol/extension_classification.md.
"""

from collections.abc import Sequence

import numpy as np


def classify(
    output: np.ndarray, *, classes: int, labels: Sequence[str], ranking: np.ndarray | None = None
) -> list[list[str]]:
    """Return the best `classes` of each item in the batch, best first, each as `value:index:label`.

    Equal values are in the order of their index. NaN comes last.

    Args:
        output: [N, ...]; all axes after the first are flattened to classes.
        classes: number of classes to return, at least 1; all if there are fewer.
        labels: class names; a class without a name becomes `value:index`.
        ranking: numbers of the same shape that order the classes, by default the output. Probabilities of different
            logits may be equal after rounding.
    """
    scores = output.reshape(len(output), -1)
    # FP64, since the smallest integer cannot be negated in its own type. Sorting puts NaN last.
    ranks = scores if ranking is None else ranking.reshape(scores.shape)
    order = np.argsort(-ranks.astype(np.float64), axis=1, kind="stable")[:, :classes]
    return [
        [_entry(float(row[index]), index, labels) for index in best]
        for row, best in zip(scores, order.tolist(), strict=True)
    ]


def _entry(value: float, index: int, labels: Sequence[str]) -> str:
    # As Triton, which formats with std::to_string (`%f`).
    return f"{value:f}:{index}:{labels[index]}" if index < len(labels) else f"{value:f}:{index}"
