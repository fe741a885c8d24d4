"""GPTQ: round the weights of a layer together, so that later weights compensate the errors of earlier ones.

Frantar et al., GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers, 2023 (sections 3 and
4). The bias comes last and is not rounded. It compensates the remaining mean error, which is bias correction (Nagel et
al., Data-Free Quantization, 2019, section 4.2) at no extra cost.
"""

import numpy as np

from edgecnn.pipeline.quantization.plan import WeightQuantization

_DAMPING = 0.01  # fraction of the mean second moment: keeps weights in directions that the images do not cover
_PANEL = 64  # columns per panel: errors are spread within a panel first, then to the remaining columns


def gptq(
    weights: np.ndarray, scales: np.ndarray, limit: int, moments: list[np.ndarray]
) -> tuple[WeightQuantization, np.ndarray]:
    """Round a layer's weights with the second moments of its inputs.

    Args:
        weights: float32 [O, …].
        scales: float32 [O].
        limit: largest magnitude of an integer.
        moments: second moments of each block of columns, in order, with a constant 1 appended to the inputs:
            float [B + 1, B + 1]. Errors stay within their block.

    Returns:
        The integers, and the correction to add to the bias, float32 [O].
    """
    columns = weights.reshape(len(weights), -1).T.astype(np.float64)  # [K, O]: transposed, a row per input
    integers = np.empty(columns.shape, np.int8)
    correction = np.zeros(len(weights))
    start = 0
    for moment in moments:
        end = start + len(moment) - 1
        correction += _round_block(columns[start:end], scales.astype(np.float64), limit, moment, integers[start:end])
        start = end
    return WeightQuantization(scales, integers.T.reshape(weights.shape)), correction.astype(np.float32)


def _round_block(
    columns: np.ndarray, scales: np.ndarray, limit: int, moment: np.ndarray, integers: np.ndarray
) -> np.ndarray:
    """Round the columns of one block into `integers`, and return the correction of the bias."""
    size = len(columns)
    damped = moment.astype(np.float64)
    damped[np.diag_indices(size)] += _DAMPING * max(np.trace(damped[:size, :size]) / size, np.finfo(np.float32).tiny)
    order = np.append(np.argsort(-np.diag(damped)[:size], kind="stable"), size)  # largest moment first, the bias last
    spreading = np.linalg.cholesky(np.linalg.inv(damped[np.ix_(order, order)])).T
    values = np.vstack([columns[order[:size]], np.zeros(len(scales))])
    for start in range(0, size, _PANEL):
        end = min(start + _PANEL, size)
        errors = np.empty((end - start, len(scales)))
        for row in range(start, end):
            rounded = np.clip(np.rint(values[row] / scales), -limit, limit)
            integers[order[row]] = rounded
            errors[row - start] = (values[row] - rounded * scales) / spreading[row, row]
            values[row + 1 : end] -= np.outer(spreading[row, row + 1 : end], errors[row - start])
        values[end:] -= spreading[start:end, end:].T @ errors
    correction: np.ndarray = values[size]
    return correction
