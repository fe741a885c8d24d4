"""The Python inference API: `load` a bundle to get a `Classifier`, which returns a `Prediction` for each image."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import overload

import numpy as np

from edgecnn.bundle.decoding import ImageLike
from edgecnn.bundle.finding import is_bundle
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import EngineError, ImageError
from edgecnn.host.resources import usable_cores
from edgecnn.prediction import Prediction, Stage, answered, check_several, check_top, prediction_of, wrong_images
from edgecnn.runtime.cascade import run_stages
from edgecnn.runtime.choosing import choose
from edgecnn.runtime.engines.engine import Precision, Session, SessionInfo, SessionOptions, check_logits, deliver
from edgecnn.runtime.images import BatchResult, Item, answer_batches, batches_of
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.profile import Purpose
from edgecnn.runtime.streaming import stream

MAX_BATCH = 32
"""Images of one run. Larger batches need more memory and are not faster on a CPU."""

_UINT8 = np.dtype(np.uint8)
_SUMMED_IN_PYTHON = 32
"""Logits that Python sums faster than NumPy."""


class Classifier:
    """A loaded bundle. Several threads can use it at once. Close it, or use it in a `with` block.

    A forked process must load the bundle itself: forking does not copy the engine's threads.
    """

    def __init__(self, bundle: Bundle, session: Session) -> None:
        self.bundle = bundle
        self._session = session
        self._image_shape = bundle.manifest.image_shape
        self._one_image = (1, *self._image_shape)
        self._classes = bundle.classes

    def _repr_html_(self) -> str:
        """Return the session and the bundle as tables, for notebooks."""
        from edgecnn.html_table import table

        rows = [
            ("engine", f"{self.info.engine} {self.info.version}"),
            ("device", self.info.device),
            ("float layers", self.info.precision),
            ("threads", str(self.info.threads)),
        ]
        return table("Classifier", rows) + self.bundle._repr_html_()

    @property
    def info(self) -> SessionInfo:
        """Engine, device, precision and threads of the session, as the engine reports them."""
        return self._session.info

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        return self.bundle.manifest.labels

    @overload  # a str is a Sequence[str], but here it is a path
    def predict(self, images: ImageLike, *, top: int = 5) -> Prediction: ...  # type: ignore[overload-overlap]
    @overload
    def predict(self, images: Sequence[ImageLike], *, top: int = 5) -> list[Prediction]: ...
    def predict(self, images: ImageLike | Sequence[ImageLike], *, top: int = 5) -> Prediction | list[Prediction]:
        """Classify one image or several.

        Args:
            images: one image or a sequence of them, each a path, an encoded file's bytes, a Pillow image, or an array
                (uint8 [H, W], [H, W, 1] or [H, W, 3]); all are resized and cropped as in the manifest.
            top: number of labels of each prediction.

        Returns:
            One prediction for one image, a list for a sequence.

        Raises:
            ImageError: an image cannot be decoded.
            EngineError: the engine failed.
        """
        check_top(top)
        if isinstance(images, Sequence) and not isinstance(images, str | bytes | bytearray | memoryview):
            return list(map(answered, self.predictions(images, top=top)))
        pixels = self.bundle.manifest.preprocessing.image(images)
        logits, (stage,) = run_stages(self._session, pixels[None])
        self._check(logits, 1)
        return self._prediction(logits[0], stage, top)

    def predictions(self, images: Iterable[ImageLike], *, top: int = 5) -> Iterator[Prediction | ImageError]:
        """Classify a stream of images: threads decode the next images while the engine runs.

        Args:
            images: images as in `predict`; read in the caller's thread, a few batches ahead.
            top: number of labels of each prediction.

        Yields:
            For each image, in order, its prediction, or an error if it cannot be decoded.

        Raises:
            EngineError: the engine failed.
        """
        check_top(top)
        check_several(images)
        return self._predictions(images, top)

    def answers(self, batches: Iterable[Sequence[Item]], *, workers: int | None = None) -> Iterator[BatchResult]:
        """Compute logits of a stream of batches: threads decode the next images while the engine runs.

        Args:
            batches: images as in `predict`, or the errors of images that could not be read; the images of one batch run
                together. Batches are read in the caller's thread, a few ahead.
            workers: threads that decode images; None for the usable cores.

        Yields:
            For each batch, in order, its logits and its errors.

        Raises:
            EngineError: the engine failed.
        """
        preprocessing = self.bundle.manifest.preprocessing
        for batch in answer_batches(self._session, batches, preprocessing, workers=workers or self._workers):
            if len(batch.logits):
                self._check(batch.logits, batch.errors.count(None))
            yield batch

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Compute logits of preprocessed images.

        Args:
            images: uint8 [N, H, W, C] of exactly the manifest's size.

        Returns:
            float32 [N, K].

        Raises:
            UsageError: the images have another shape or dtype.
            EngineError: the engine failed.
        """
        is_array = isinstance(images, np.ndarray) and images.dtype == _UINT8
        if is_array and images.shape == self._one_image:
            logits = self._session.run(images)
            self._check(logits, 1)
            return logits
        if not is_array or images.ndim != 4 or images.shape[1:] != self._image_shape:
            raise wrong_images(images, self._image_shape)
        if 1 <= len(images) <= MAX_BATCH:
            logits = self._session.run(images)
        else:
            logits = run_batches(self._session, images, classes=self._classes)
        self._check(logits, len(images))
        return logits

    def close(self) -> None:
        """Free the engine's memory."""
        self._session.close()

    def __enter__(self) -> "Classifier":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _predictions(self, images: Iterable[ImageLike], top: int) -> Iterator[Prediction | ImageError]:
        for batch in self.answers(batches_of(images, self._workers)):
            rows = zip(batch.logits, batch.stages, strict=True)
            for error in batch.errors:
                yield error or self._prediction(*next(rows), top=top)

    @property
    def _workers(self) -> int:
        """Number of threads that decode images."""
        return max(usable_cores(), self._session.instances)

    def _prediction(self, logits: np.ndarray, stage: Stage | None, top: int) -> Prediction:
        return prediction_of(logits, self.labels, top=top, scores=self.bundle.manifest.scores, stage=stage)

    def _check(self, logits: np.ndarray, images: int) -> None:
        if logits.shape != (images, self._classes):  # without a call, which takes 0.1 µs
            check_logits(logits, images, self._classes)
        # Both sums show faster than `np.isfinite` that all are finite. The sum of squares can overflow.
        is_finite = math.isfinite(
            sum(logits.ravel().tolist()) if logits.size <= _SUMMED_IN_PYTHON else np.vdot(logits, logits)
        )
        if not (is_finite or np.isfinite(logits).all()):
            raise EngineError(
                f"{self.info.engine} returned logits that are not finite: run `edgecnn verify {self.bundle.path}`"
            )


def load(
    bundle: str | Path | Bundle,
    *,
    engine: str = "auto",
    device: str = "cpu",
    precision: Precision = "fp32",
    threads: int | None = None,
    purpose: Purpose = "latency",
    strict: bool = False,
    cache: bool = False,
) -> Classifier:
    """Open a bundle on an engine. For a folder of bundles, open the one that `edgecnn tune` chose on this machine.

    Args:
        bundle: a bundle's folder, or a folder that contains bundles of one reference.
        engine: `auto`, `onnxruntime` or `openvino`; `auto` uses this machine's profile, if there is one.
        device: `cpu`, `cuda`, `tensorrt`, `gpu`, `npu` or `auto`.
        precision: precision of float operators.
        threads: threads of one run; None for the profile's number, or else the usable cores.
        purpose: which profile to use: `latency` of one image, or `throughput` of many, which runs several at once.
        strict: raise an `EngineError` if full-range INT8 weights saturate here, instead of a `SaturationWarning`.
        cache: keep the compiled graph in `$XDG_CACHE_HOME/edgecnn` for the next start; see `engine_cache`.

    Raises:
        BundleError: the folder is not a bundle, contains none, or the bundle is damaged.
        UsageError: no profile chooses a bundle of the folder.
        EngineError: the engine, device or precision is not available, or the engine rejected the graph.
    """
    opened = resolve(bundle, purpose)
    options = SessionOptions(device=device, precision=precision, threads=threads)
    session = open_session(opened, engine=engine, options=options, purpose=purpose, strict=strict, cache=cache)
    return Classifier(opened, session)


def resolve(bundle: str | Path | Bundle, purpose: Purpose) -> Bundle:
    """Return the given bundle, or the one at a path; for a folder of bundles, the one that `edgecnn tune` chose."""
    if isinstance(bundle, Bundle):
        return bundle
    path = Path(bundle)
    if path.is_dir() and not is_bundle(path) and any(map(is_bundle, path.iterdir())):
        return choose(path, purpose)
    return open_bundle(path)


def run_batches(session: Session, images: np.ndarray, *, classes: int, batch: int = MAX_BATCH) -> np.ndarray:
    """Run uint8 [N, H, W, C] in batches, as many at once as the session allows. Return float32 [N, classes]."""
    logits = np.empty((len(images), classes), dtype=np.float32)
    starts = range(0, len(images), batch)
    if session.instances == 1:
        for start in starts:
            session.run(images[start : start + batch], out=logits[start : start + batch])
    else:
        for start, found in zip(starts, stream(session, (images[i : i + batch] for i in starts)), strict=True):
            deliver(found, logits[start : start + batch])
    return logits
