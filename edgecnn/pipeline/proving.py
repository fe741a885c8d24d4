"""Prove a new graph: self-test images with the reference's logits, parity, and evaluation on a test split.

`pipeline` may import `runtime` for this purpose: a graph is proven on the engines that run it.
"""

import contextlib
import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from edgecnn.bundle.decoding import decode
from edgecnn.bundle.finding import MODEL
from edgecnn.bundle.manifest import SOFTMAX, Manifest, Scores
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.bundle.proof import EngineProof, Proof
from edgecnn.bundle.self_test import IMAGES, EncodedImage, SelfTest, spread, tolerance_from
from edgecnn.errors import EdgecnnError, EngineMissing, ProofFailed
from edgecnn.pipeline.data.source import Split
from edgecnn.runtime.classifier import run_batches
from edgecnn.runtime.engines.engine import Session, SessionOptions
from edgecnn.runtime.engines.registry import get_engine, installed, none_installed
from edgecnn.runtime.engines.saturation import without_saturation
from edgecnn.runtime.verification.answers import answers_of, changed
from edgecnn.runtime.verification.evaluation import Evaluation
from edgecnn.runtime.verification.per_class import per_class
from edgecnn.runtime.verification.replay import compare, replay

PARITY_BATCHES = (1, 3, 8)
PARITY_TOLERANCE = 1e-4
"""Largest allowed logit error of an FP32 graph, as a fraction of the spread of the logits between images."""

_ENCODED_SIDE = 640


class ParityFailed(ProofFailed):
    """The logits of a graph differ from the reference's on an engine.

    Attributes:
        engine: the engine.
        images: the batch with the worst image, uint8 [B, H, W, C].
        row: place of the worst image in this batch.
        worst: place of the worst image among all images.
    """

    def __init__(self, message: str, *, engine: str, images: np.ndarray, row: int, worst: int) -> None:
        super().__init__(message)
        self.engine, self.images, self.row, self.worst = engine, images, row, worst


@contextlib.contextmanager
def temporary_graph(content: bytes) -> Iterator[Path]:
    """Yield the path of a temporary file with this graph, because engines load files.

    Raises:
        EdgecnnError: the file cannot be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="edgecnn-"))
            path = Path(folder) / MODEL
            path.write_bytes(content)
        except OSError as error:
            raise EdgecnnError(
                f"cannot write a graph of {len(content) / 1e6:.1f} MB to a temporary folder: {error.strerror} "
                f"(errno {error.errno}); free some space, or set TMPDIR to another folder"
            ) from None
        yield path


@contextlib.contextmanager
def engine_sessions(model: Path, *, full_range: bool = False) -> Iterator[dict[str, Session]]:
    """Open a graph on every installed engine, on the CPU in FP32. `full_range` avoids saturation where possible.

    Raises:
        EngineMissing: no engine is installed.
        EngineError: an engine cannot load the graph.
    """
    names = installed()
    if not names:
        raise EngineMissing(f"proving the graph needs an engine, but {none_installed()}")
    with contextlib.ExitStack() as stack:
        sessions: dict[str, Session] = {}
        for name in names:
            engine, options = get_engine(name), SessionOptions()
            sessions[name] = engine.open(model, without_saturation(engine, options) if full_range else options)
            stack.callback(sessions[name].close)
        yield sessions


def choose_self_test(split: Split) -> Split:
    """Choose the images of a self-test."""
    return evenly(split, IMAGES)


def evenly(split: Split, count: int) -> Split:
    """Choose `count` images that can be decoded: the first of each class, then the second of each, and so on."""
    by_class = [list(np.flatnonzero(split.groups == group)) for group in np.unique(split.groups)]
    longest = max(map(len, by_class))
    turns = [int(members[turn]) for turn in range(longest) for members in by_class if turn < len(members)]
    return split.take(turns, count)


def encode_images(split: Split, preprocessing: Preprocessing) -> list[tuple[Literal["png", "jpeg"], bytes]]:
    """Encode the first images of a self-test as two PNG and two JPEG files, at most 640 pixels wide and high.

    JPEG has no alpha, so that all four are PNG for a network with alpha.
    """
    other: Literal["png", "jpeg"] = "png" if preprocessing.mode == "RGBA" else "jpeg"
    kinds: tuple[Literal["png", "jpeg"], ...] = ("png", other, "png", other)
    encoded = []
    for index, kind in enumerate(kinds[: len(split)]):
        picture = decode(split.images[index], preprocessing.mode)
        picture.thumbnail((_ENCODED_SIDE, _ENCODED_SIDE))
        buffer = io.BytesIO()
        picture.save(buffer, format=kind.upper(), **({"quality": 90} if kind == "jpeg" else {}))
        encoded.append((kind, buffer.getvalue()))
    return encoded


def check_parity(
    sessions: Mapping[str, Session], images: np.ndarray, expected: np.ndarray, scores: Scores = SOFTMAX
) -> None:
    """Compare an FP32 graph with the reference on every engine, at several batch sizes.

    Args:
        sessions: engine name to session of the graph.
        images: uint8 [N, H, W, C], real images.
        expected: float32 [N, K], the reference's logits.
        scores: how logits become answers.

    Raises:
        ParityFailed: a logit error exceeds `PARITY_TOLERANCE` of the spread, or an answer differs.
        ProofFailed: the reference's logits are not finite, or do not depend on the image.
        EngineError: an engine failed, for example because the graph's batch size is fixed.
    """
    _check_reference(images, expected)
    allowed = PARITY_TOLERANCE * spread(expected)
    # Among many labels, one is often at the threshold. Two equal largest logits are rare.
    least = allowed if scores.multi_label else 0.0
    count = len(images)
    turns = np.arange(max(count, *PARITY_BATCHES)) % count  # repeat images to fill a batch
    images, expected = images[turns], expected[turns]
    for name, session in sessions.items():
        for batch in PARITY_BATCHES:
            logits = run_batches(session, images, classes=expected.shape[1], batch=batch)
            errors = np.abs(logits - expected).max(axis=1)
            error = float(errors.max())
            wrong = changed(expected, logits, least, scores)
            if not error <= allowed or wrong.any():  # `not <=` so that NaN fails too
                worst = int(np.nan_to_num(errors + np.where(wrong, error, 0), nan=np.inf).argmax())
                start = worst // batch * batch
                raise ParityFailed(
                    f"the graph differs from the reference: on {name} at batch {batch} the largest logit error is "
                    f"{error:.3g} (allowed {allowed:.3g}) and {int(wrong.sum())} of {len(images)} answers differ",
                    engine=name,
                    images=images[start : start + batch],
                    row=worst - start,
                    worst=worst % count,
                )


def _check_reference(images: np.ndarray, expected: np.ndarray) -> None:
    """Check that the reference's logits, float32 [N, K], are finite and depend on the images.

    The allowed error must be larger than the distance between two neighbouring float32 numbers of their size.
    """
    if not np.isfinite(expected).all():
        raise ProofFailed("the reference's own logits are not finite: the weights are damaged; no bundle was written")
    if (images == images[0]).all():
        raise ProofFailed(f"all {len(images)} images of the proof are equal: pass other images with --data")
    largest = float(np.abs(expected).max())
    if PARITY_TOLERANCE * spread(expected) <= np.finfo(np.float32).eps * largest:
        raise ProofFailed(
            f"the logits of this network hardly depend on the image (spread {spread(expected):.2g}, largest "
            f"{largest:.2g}): it is not trained, or its weights are wrong; no bundle was written"
        )


def make_self_test(
    sessions: Mapping[str, Session], images: np.ndarray, logits: np.ndarray, encoded: Sequence[EncodedImage]
) -> SelfTest:
    """Run the self-test's images on every engine and return the self-test with its tolerance."""
    found = {name: run_batches(session, images, classes=logits.shape[1]) for name, session in sessions.items()}
    return SelfTest(images, logits, found, tuple(encoded), tolerance_from(logits, found))


def self_test_warnings(self_test: SelfTest, sessions: Mapping[str, Session], manifest: Manifest) -> tuple[str, ...]:
    """Return a warning for each engine that fails a new self-test on this processor."""
    results = {
        name: replay(self_test, session, manifest.preprocessing, manifest.scores) for name, session in sessions.items()
    }
    return tuple(
        f"the self-test fails on {name} with this processor: {result.failures[0]}"
        for name, result in results.items()
        if not result.holds
    )


def make_proof(
    reference: str,
    evaluation: Evaluation,
    expected: np.ndarray,
    sessions: Mapping[str, Session],
    *,
    labels: Sequence[str],
    scores: Scores = SOFTMAX,
) -> Proof:
    """Compare every engine's logits with the reference's, float32 [N, K]. `labels` has K names."""
    targets, answers = evaluation.targets, answers_of(expected, scores)
    engines = tuple(
        EngineProof(
            engine=name,
            version=session.info.version,
            device=session.info.device,
            precision=session.info.precision,
            comparison=compare(expected, evaluation.logits[name], targets, scores),
            per_class=per_class(
                answers, answers_of(evaluation.logits[name], scores), targets=targets, labels=labels
            ).differing(),
        )
        for name, session in sessions.items()
    )
    return Proof(reference, evaluation.data, engines)
