"""GPTQ: round the weights of a layer together, so that later weights compensate the errors of earlier ones.

Frantar et al., GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers, 2023 (sections 3 and
4). The bias comes last and is not rounded. It compensates the remaining mean error, which is bias correction (Nagel et
al., Data-Free Quantization, 2019, section 4.2) at no extra cost.
"""

import numpy as np

from edgecnn.pipeline.quantization.steps import Steps

_DAMPING = 0.01  # fraction of the mean second moment: keeps weights in directions that the images do not cover
_PANEL = 64  # columns per panel: errors are spread within a panel first, then to the remaining columns
_STACK = 1 << 22  # numbers per stack of matrices, 32 MiB: groups are rounded together while their moments fit


def gptq(weights: np.ndarray, steps: Steps, moments: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Round a layer's weights with the second moments of its inputs.

    The G groups of a convolution have separate inputs and outputs, so each is rounded like a separate layer.

    Args:
        weights: float32 [O, …], the outputs in the order of their groups.
        steps: the values that the weights can take. They are chosen from the weights before rounding, so the columns
            can be rounded in any order ("static groups" in the authors' code).
        moments: second moments of each block of columns, in order, with a constant 1 appended to the inputs:
            float [G, B + 1, B + 1]. Errors stay within their block.

    Returns:
        The integers, int8 of the shape of the weights, and the correction to add to the bias, float32 [O].
    """
    groups, outputs = len(moments[0]), len(weights) // len(moments[0])
    columns = weights.reshape(groups, outputs, -1).transpose(0, 2, 1).astype(np.float64)  # [G, K, O / G]
    integers = np.empty(columns.shape, np.int8)
    correction = np.zeros((groups, outputs))
    start = 0
    for moment in moments:
        end = start + moment.shape[1] - 1
        allowed = [_by_group(each, groups, end - start) for each in steps.of_columns(start, end)]
        together = max(1, _STACK // moment[0].size)
        for first in range(0, groups, together):
            part = slice(first, first + together)
            correction[part] += _round_block(
                columns[part, start:end], [each[part] for each in allowed], moment[part], integers[part, start:end]
            )
        start = end
    rounded = integers.transpose(0, 2, 1).reshape(weights.shape)
    return rounded, correction.reshape(-1).astype(np.float32)


def _by_group(numbers: np.ndarray, groups: int, columns: int) -> np.ndarray:
    """Return numbers of each output and column, [O, columns] or [O, 1], as [G, columns, O / G]."""
    return np.broadcast_to(numbers, (len(numbers), columns)).reshape(groups, -1, columns).transpose(0, 2, 1)


def _round_block(
    columns: np.ndarray, allowed: list[np.ndarray], moment: np.ndarray, integers: np.ndarray
) -> np.ndarray:
    """Round the columns of one block of each group into `integers`, and return the correction of the bias.

    `allowed` contains scales and limits.
    """
    groups, size, outputs = columns.shape
    spreading, order = _spreading(moment)
    scales, low, high = (np.take_along_axis(each, order[:, :size, None], 1) for each in allowed)
    values = np.concatenate([np.take_along_axis(columns, order[:, :size, None], 1), np.zeros((groups, 1, outputs))], 1)
    rounded = np.empty(columns.shape, np.int8)
    for start in range(0, size, _PANEL):
        end = min(start + _PANEL, size)
        errors = np.empty((groups, end - start, outputs))
        for row in range(start, end):
            steps = np.clip(np.rint(values[:, row] / scales[:, row]), low[:, row], high[:, row])
            error = (values[:, row] - steps * scales[:, row]) / spreading[:, row, row, None]
            values[:, row + 1 : end] -= spreading[:, row, row + 1 : end, None] * error[:, None]
            rounded[:, row], errors[:, row - start] = steps, error
        values[:, end:] -= spreading[:, start:end, end:].transpose(0, 2, 1) @ errors
    np.put_along_axis(integers, order[:, :size, None], rounded, 1)
    correction: np.ndarray = values[:, size]
    return correction


def _spreading(moment: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how the error of each column spreads to later ones, and the order of the columns.

    The column with the largest moment comes first, the bias last. Both are [G, B + 1, …], in this order.
    """
    size = moment.shape[1] - 1
    damped = moment.astype(np.float64)
    means = np.trace(damped[:, :size, :size], axis1=1, axis2=2) / size
    diagonal = np.arange(size)
    damped[:, diagonal, diagonal] += (_DAMPING * np.maximum(means, np.finfo(np.float32).tiny))[:, None]
    order = np.argsort(-damped[:, diagonal, diagonal], axis=1, kind="stable")
    order = np.hstack([order, np.full((len(order), 1), size)])
    ordered = np.take_along_axis(np.take_along_axis(damped, order[:, :, None], 1), order[:, None, :], 2)
    return np.linalg.cholesky(np.linalg.inv(ordered)).transpose(0, 2, 1), order
