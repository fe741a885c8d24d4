"""`self_test.npz`: how a device proves itself without PyTorch.

About 32 real images with the PyTorch reference's logits, the logits of every engine at build time, and the tolerance
that follows from them. A few images stand there as encoded files too, so that decoding and resizing are proven.
"""

import io
import re
import zipfile
from dataclasses import dataclass
from typing import Literal

import numpy as np

IMAGES = 32
"""How many images a self-test holds, where the source has as many."""

PIXEL_TOLERANCE = {"png": 0, "jpeg": 2}
"""Levels by which decoded pixels may differ: PNG is exact; JPEG decoders may round their transform otherwise."""

_ENCODED = re.compile(r"(?P<kind>png|jpeg)\.(?P<index>\d{1,4})\.content")
_HEADROOM = 2.0
_FLOOR = 1e-3


@dataclass(frozen=True)
class EncodedImage:
    """An image as a file's bytes, the pixels that preprocessing must make of it, and the reference's logits.

    Shapes: `pixels` uint8 [H, W, C], `logits` float32 [K].
    """

    format: Literal["png", "jpeg"]
    content: bytes
    pixels: np.ndarray
    logits: np.ndarray


@dataclass(frozen=True)
class SelfTest:
    """Real images and the PyTorch reference's answers to them.

    Attributes:
        images: uint8 [N, H, W, C], preprocessed.
        logits: float32 [N, K], PyTorch's, computed through torchvision's own transforms.
        engine_logits: engine name to float32 [N, K], at build time.
        encoded: a few images as files.
        tolerance: largest difference of a logit that still counts as the same answer.
    """

    images: np.ndarray
    logits: np.ndarray
    engine_logits: dict[str, np.ndarray]
    encoded: tuple[EncodedImage, ...]
    tolerance: float

    def to_bytes(self) -> bytes:
        """Write as `.npz`; the same self-test gives the same bytes."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **self._arrays())  # type: ignore[arg-type]  # its stub takes any name for allow_pickle
        return buffer.getvalue()

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays: dict[str, np.ndarray] = {
            "images": self.images,
            "logits": self.logits,
            "tolerance": np.float64(self.tolerance),  # type: ignore[dict-item]
        }
        for engine, logits in self.engine_logits.items():
            arrays[f"engine.{engine}"] = logits
        for index, image in enumerate(self.encoded):
            arrays[f"{image.format}.{index}.content"] = np.frombuffer(image.content, dtype=np.uint8)
            arrays[f"{image.format}.{index}.pixels"] = image.pixels
            arrays[f"{image.format}.{index}.logits"] = image.logits
        return arrays

    @classmethod
    def from_bytes(cls, content: bytes) -> "SelfTest":
        """Read what `to_bytes` wrote; nothing is unpickled.

        Raises:
            ValueError: it is something else; the message says what.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"it is not an npz of plain arrays: {error}") from None
        try:
            self_test = cls(
                images=arrays["images"],
                logits=arrays["logits"],
                engine_logits={n.removeprefix("engine."): a for n, a in arrays.items() if n.startswith("engine.")},
                encoded=_read_encoded(arrays),
                tolerance=float(arrays["tolerance"]),
            )
        except KeyError as error:
            raise ValueError(f"the array {error} is missing") from None
        except TypeError:
            raise ValueError("tolerance must be one number") from None
        strangers = set(arrays) - set(self_test._arrays())
        if strangers:
            raise ValueError(f"the array {min(strangers)!r} does not belong there")
        self_test._check()
        return self_test

    def _check(self) -> None:
        _check_array("images", self.images, np.uint8, (None, None, None, None))
        if 0 in self.images.shape:
            raise ValueError(f"images must hold pixels, found {self.images.shape}")
        _check_array("logits", self.logits, np.float32, (len(self.images), None))
        for name, logits in self.engine_logits.items():
            _check_array(f"engine.{name}", logits, np.float32, self.logits.shape)
        for image in self.encoded:
            _check_array("the pixels of an encoded image", image.pixels, np.uint8, self.images.shape[1:])
            _check_array("the logits of an encoded image", image.logits, np.float32, self.logits.shape[1:])
        if not all(np.isfinite(logits).all() for logits in (self.logits, *(i.logits for i in self.encoded))):
            raise ValueError("the reference's logits must be finite")
        if not (np.isfinite(self.tolerance) and self.tolerance > 0):
            raise ValueError(f"tolerance must be positive, found {self.tolerance}")


def tolerance_from(logits: np.ndarray, engine_logits: dict[str, np.ndarray]) -> float:
    """Return the tolerance that a self-test seals: twice the largest error of the best engine at build time.

    Another processor's kernels sum in another order, and in INT8 a rounding more or less moves a logit; twice the error
    leaves room for that. The best engine counts, because another one may be saturating on the machine that builds: its
    errors are many times as large, and must not become what every device is allowed. Never below a thousandth of the
    spread of the logits: engines in FP32 differ by that little on every device.

    Args:
        logits: float32 [N, K], PyTorch's.
        engine_logits: engine name to float32 [N, K].
    """
    best = min((float(np.abs(found - logits).max()) for found in engine_logits.values()), default=0.0)
    return max(_HEADROOM * best, _FLOOR * spread(logits), float(np.finfo(np.float32).eps))


def spread(logits: np.ndarray) -> float:
    """Return the root mean square deviation of logits [N, K] from their mean over the images."""
    wide = logits.astype(np.float64)
    return float(np.sqrt(np.mean((wide - wide.mean(axis=0)) ** 2)))


def _check_array(name: str, array: np.ndarray, dtype: type[np.generic], shape: tuple[int | None, ...]) -> None:
    """Hold an array's element type and shape against what is expected; None is any size."""
    fits = array.ndim == len(shape) and all(n in (None, size) for n, size in zip(shape, array.shape, strict=True))
    if array.dtype != dtype or not fits:
        wanted = ", ".join("?" if size is None else str(size) for size in shape)
        raise ValueError(f"{name} must be {np.dtype(dtype)} [{wanted}], found {array.dtype} {list(array.shape)}")


def _read_encoded(arrays: dict[str, np.ndarray]) -> tuple[EncodedImage, ...]:
    keys = [match for name in arrays if (match := _ENCODED.fullmatch(name))]
    return tuple(
        EncodedImage(
            format="png" if match["kind"] == "png" else "jpeg",
            content=arrays[match[0]].tobytes(),
            pixels=arrays[match[0].replace("content", "pixels")],
            logits=arrays[match[0].replace("content", "logits")],
        )
        for match in sorted(keys, key=lambda match: int(match["index"]))
    )
