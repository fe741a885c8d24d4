"""`self_test.npz`: data to verify a bundle on a device without PyTorch.

It contains about 32 real images, the PyTorch reference's logits, the logits of every engine at build time, and a
tolerance. Some images are also stored as encoded files, to verify decoding and resizing.
"""

import io
import re
import zipfile
from dataclasses import dataclass
from typing import Literal

import numpy as np

IMAGES = 32
"""Number of images in a self-test, if the source has enough."""

PIXEL_TOLERANCE = {"png": 0, "jpeg": 2}
"""Allowed difference of decoded pixels in levels. PNG is exact; JPEG decoders may round differently."""

_ENCODED = re.compile(r"(?P<kind>png|jpeg)\.(?P<index>\d{1,4})\.content")
_HEADROOM = 2.0
_FLOOR = 1e-3


@dataclass(frozen=True)
class EncodedImage:
    """An encoded image, the expected pixels after preprocessing, and the reference's logits.

    Shapes: `pixels` uint8 [H, W, C], `logits` float32 [K].
    """

    format: Literal["png", "jpeg"]
    content: bytes
    pixels: np.ndarray
    logits: np.ndarray


@dataclass(frozen=True)
class SelfTestStages:
    """The graph of a cascade that answers each self-test image.

    Attributes:
        runs_again: whether the accurate graph answers, bool [N].
        fast_tolerance: largest allowed difference of a logit of the fast graph.
        accurate_tolerance: the same for the accurate graph.
    """

    runs_again: np.ndarray
    fast_tolerance: float
    accurate_tolerance: float


@dataclass(frozen=True)
class SelfTest:
    """Real images with the PyTorch reference's logits.

    Attributes:
        images: uint8 [N, H, W, C], preprocessed.
        logits: float32 [N, K], from PyTorch with torchvision's transforms.
        engine_logits: engine name to float32 [N, K], at build time.
        encoded: some images as encoded files.
        tolerance: largest allowed difference of a logit; of a cascade, the larger one of its graphs.
        stages: the graph of a cascade that answers each image; None for one graph.
    """

    images: np.ndarray
    logits: np.ndarray
    engine_logits: dict[str, np.ndarray]
    encoded: tuple[EncodedImage, ...]
    tolerance: float
    stages: SelfTestStages | None = None

    @property
    def tolerances(self) -> np.ndarray:
        """Largest allowed difference of a logit of each image, float64 [N]."""
        if self.stages is None:
            return np.full(len(self.images), self.tolerance)
        return np.where(self.stages.runs_again, self.stages.accurate_tolerance, self.stages.fast_tolerance)

    def to_bytes(self) -> bytes:
        """Return the self-test as `.npz`, reproducibly."""
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
        if self.stages is not None:
            arrays["runs_again"] = self.stages.runs_again
            arrays["stage_tolerances"] = np.array([self.stages.fast_tolerance, self.stages.accurate_tolerance])
        return arrays

    @classmethod
    def from_bytes(cls, content: bytes) -> "SelfTest":
        """Parse the output of `to_bytes`. Pickled data is not loaded.

        Raises:
            ValueError: the content is invalid; the message names the fault.
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
                stages=_read_stages(arrays),
            )
        except KeyError as error:
            raise ValueError(f"the array {error} is missing") from None
        except TypeError:
            raise ValueError("tolerance must be a single number") from None
        strangers = set(arrays) - set(self_test._arrays())
        if strangers:
            raise ValueError(f"unexpected array {min(strangers)!r}")
        self_test._check()
        return self_test

    def _check(self) -> None:
        _check_array("images", self.images, np.uint8, (None, None, None, None))
        if 0 in self.images.shape:
            raise ValueError(f"images must contain pixels, found {self.images.shape}")
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
        if self.stages is not None:
            _check_array("runs_again", self.stages.runs_again, np.bool_, self.images.shape[:1])
            if not (np.isfinite(self.tolerances).all() and (self.tolerances > 0).all()):
                raise ValueError(f"stage_tolerances must be positive, found {self.tolerances.min()}")


def tolerance_from(logits: np.ndarray, engine_logits: dict[str, np.ndarray]) -> float:
    """Return the tolerance of a self-test: twice the largest error of the best engine at build time.

    The factor allows for another order of summation and other rounding on other processors. The best engine is used,
    because another one may saturate on the build machine, and its errors must not increase the tolerance. The tolerance
    is at least a thousandth of the logits' spread, because FP32 engines differ by that much.

    Args:
        logits: float32 [N, K], from PyTorch.
        engine_logits: engine name to float32 [N, K].
    """
    best = min((float(np.abs(found - logits).max()) for found in engine_logits.values()), default=0.0)
    return max(_HEADROOM * best, _FLOOR * spread(logits), float(np.finfo(np.float32).eps))


def spread(logits: np.ndarray) -> float:
    """Return the root mean square deviation of logits [N, K] from their mean over the images."""
    wide = logits.astype(np.float64)
    return float(np.sqrt(np.mean((wide - wide.mean(axis=0)) ** 2)))


def _check_array(name: str, array: np.ndarray, dtype: type[np.generic], shape: tuple[int | None, ...]) -> None:
    """Check an array's element type and shape; None means any size."""
    fits = array.ndim == len(shape) and all(n in (None, size) for n, size in zip(shape, array.shape, strict=True))
    if array.dtype != dtype or not fits:
        wanted = ", ".join("?" if size is None else str(size) for size in shape)
        raise ValueError(f"{name} must be {np.dtype(dtype)} [{wanted}], found {array.dtype} {list(array.shape)}")


def _read_stages(arrays: dict[str, np.ndarray]) -> SelfTestStages | None:
    if "runs_again" not in arrays:
        return None
    tolerances = arrays["stage_tolerances"]
    _check_array("stage_tolerances", tolerances, np.float64, (2,))
    return SelfTestStages(arrays["runs_again"], *tolerances.tolist())


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
