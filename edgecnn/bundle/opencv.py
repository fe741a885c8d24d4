"""Resize images as OpenCV does, pixel for pixel, without OpenCV.

The arithmetic is that of `cv2.resize` for uint8 on x86 (opencv/modules/imgproc/src/resize.cpp, versions 4.14 and 5.0).
Tests compare every pixel with OpenCV's.
"""

import numpy as np

_BITS = 11
"""Fraction bits of a weight in OpenCV's fixed-point arithmetic (`INTER_RESIZE_COEF_BITS`)."""

_LEAST_SHARE = 1e-3
"""A smaller share of a source pixel is ignored by `INTER_AREA`."""


def resize_bilinear(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 [H, W, C] to uint8 [height, width, C] as `cv2.INTER_LINEAR`: two by two pixels, no antialiasing."""
    if pixels.shape[:2] == (2 * height, 2 * width):
        return resize_area(pixels, height, width)
    return _interpolated(pixels, _centred(pixels.shape[0], height), _centred(pixels.shape[1], width))


def resize_area(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 [H, W, C] to uint8 [height, width, C] as `cv2.INTER_AREA`.

    If neither side grows, a pixel is the mean of the area that it covers. Otherwise OpenCV interpolates.
    """
    rows, columns = pixels.shape[:2]
    if height > rows or width > columns:
        return _interpolated(pixels, _cornered(rows, height), _cornered(columns, width))
    if rows % height == 0 and columns % width == 0:
        return _block_means(pixels, rows // height, columns // width)
    narrow = _weighted(pixels, *_shares(columns, width), axis=1)
    return np.asarray(np.clip(np.rint(_weighted(narrow, *_shares(rows, height), axis=0)), 0, 255), np.uint8)


def _block_means(pixels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return the means of blocks of rows × columns pixels."""
    height, width = pixels.shape[0] // rows, pixels.shape[1] // columns
    sums = pixels.reshape(height, rows, width, columns, -1).sum(axis=(1, 3), dtype=np.int32)
    if (rows, columns) == (2, 2):
        return np.asarray((sums + 2) >> 2, np.uint8)  # halves are rounded up; elsewhere to even
    return np.asarray(np.rint(sums.astype(np.float32) * np.float32(1 / (rows * columns))), np.uint8)


def _shares(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for each new pixel the source pixels under it, int [new, k], and their shares, float32 [new, k]."""
    scale = 1 / (new / old)
    left = np.arange(new) * scale
    right, covered = left + scale, np.minimum(scale, old - left)
    stop = np.minimum(np.floor(right).astype(int), old - 1)
    start = np.minimum(np.ceil(left).astype(int), stop)
    before, after = start - left, right - stop
    place = np.arange(int((stop - start).max()) + 2)[None, :]  # 0 is the pixel that is partly left of `start`
    whole = (stop - start)[:, None]
    share = np.where((place > 0) & (place <= whole), 1.0, 0.0)
    share[:, 0] = np.where(before > _LEAST_SHARE, before, 0)
    last = np.where(after > _LEAST_SHARE, np.minimum(np.minimum(after, 1), covered), 0)
    share = np.where(place == whole + 1, last[:, None], share)
    return np.clip(start[:, None] - 1 + place, 0, old - 1), (share / covered[:, None]).astype(np.float32)


def _weighted(pixels: np.ndarray, sources: np.ndarray, shares: np.ndarray, *, axis: int) -> np.ndarray:
    """Return weighted sums over an axis, in float32 and in the order of OpenCV, because each addition rounds."""
    shape = [*pixels.shape]
    shape[axis] = len(sources)
    total = np.zeros(shape, np.float32)
    for source, share in zip(sources.T, shares.T, strict=True):
        total += pixels.take(source, axis) * share.reshape(-1, *(1,) * (2 - axis))
    return total


def _centred(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixel at or before each new pixel's centre, which may be -1, and the distance, float32 in [0, 1)."""
    place = ((np.arange(new) + 0.5) * (1 / (new / old)) - 0.5).astype(np.float32)
    before = np.floor(place)
    return before.astype(int), place - before


def _cornered(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the same for `INTER_AREA` when a side grows: corners of pixels are aligned instead of centres."""
    ratio = new / old
    before = np.floor(np.arange(new) * (1 / ratio)).astype(int)
    distance = (np.arange(1, new + 1) - (before + 1) * ratio).astype(np.float32)
    return before, np.where(distance <= 0, np.float32(0), distance - np.floor(distance))


def _interpolated(
    pixels: np.ndarray, rows: tuple[np.ndarray, np.ndarray], columns: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Interpolate between two by two pixels with weights of 11 bits."""
    (above, down), (left, right) = rows, columns
    height, width = pixels.shape[:2]
    # At the border OpenCV sets the weight of a column that does not exist to 0, but repeats a row with its weight.
    right = np.where((left < 0) | (left >= width - 1), np.float32(0), right)
    left = np.clip(left, 0, width - 1)
    near, far = _fixed(1 - right)[:, None], _fixed(right)[:, None]
    beside = np.minimum(left + 1, width - 1)

    def blended(row: np.ndarray) -> np.ndarray:
        row = np.clip(row, 0, height - 1)[:, None]
        return np.asarray((pixels[row, left] * near + pixels[row, beside] * far) >> 4)

    upper, lower = _fixed(1 - down)[:, None, None], _fixed(down)[:, None, None]
    sums = ((upper * blended(above)) >> 16) + ((lower * blended(above + 1)) >> 16)
    return np.asarray((sums + 2) >> 2, np.uint8)


def _fixed(weights: np.ndarray) -> np.ndarray:
    return np.asarray(np.rint(weights * np.float32(1 << _BITS)), np.int32)
