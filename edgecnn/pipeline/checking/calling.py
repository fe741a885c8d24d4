"""Compare the user's own preprocessing code with the stated preprocessing: pixels, and logits from these pixels."""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgecnn.bundle.decoding import read_header
from edgecnn.bundle.orientation import orientation_of
from edgecnn.bundle.self_test import EncodedImage
from edgecnn.errors import EdgecnnError, ProofFailed
from edgecnn.pipeline.checking.comparing import MAX_DIFFERENCE, compare_answers
from edgecnn.pipeline.checking.levels import Levels, PixelDifference
from edgecnn.pipeline.checking.statements import Statement
from edgecnn.pipeline.checking.subject import Subject
from edgecnn.pipeline.checking.user_pixels import cause
from edgecnn.pipeline.data.images import Images
from edgecnn.pipeline.user_code import UserFunction, run_user_code
from edgecnn.progress import Progress
from edgecnn.runtime.rates import three_digits

OPTION = "--preprocess"
_SUFFIX = {"png": ".png", "jpeg": ".jpg"}
_LOSSY = ("JPEG", "WEBP")


def check_function(
    function: UserFunction, subject: Subject, images: Images, encoded: Sequence[EncodedImage], *, progress: Progress
) -> int:
    """Check that the user's code prepares images as stated, and return the number of images.

    Args:
        function: takes the path of an image file and returns the network's input: an array or tensor [C, H, W] or
            [H, W, C], with or without a batch of one.
        subject: the reference.
        images: the images of the self-test. Images that are not files are not used.
        encoded: the image files of the self-test.
        progress: called for each image.

    Raises:
        EdgecnnError: the function fails, or does not return an image.
        ProofFailed: its pixels or logits differ. The message names the image, and the options that would match.
    """
    with _files(images, encoded) as paths:
        theirs = []
        for number, path in enumerate(paths):
            progress("user's code", number, len(paths))
            theirs.append(_called(function, path, subject))
        progress("user's code", len(paths), len(paths))
        _compare(function, paths, np.stack(theirs), subject)
    return len(paths)


def _compare(function: UserFunction, paths: Sequence[Path], theirs: np.ndarray, subject: Subject) -> None:
    """Compare the user's inputs, float32 [N, C, H, W], with the inputs under the stated preprocessing."""
    stated, session = Statement(subject.reference.preprocessing), subject.session
    levels = Levels.of(stated, session)
    is_lossy = [read_header(path).format in _LOSSY for path in paths]
    ours = stated.inputs_of(paths, session)
    found = levels.differences(theirs, ours, is_lossy)
    bad = [number for number, each in enumerate(found) if not each.holds]
    if bad:
        worst = max(bad, key=lambda number: found[number].excess)
        likely = cause(theirs, paths, is_lossy, bad, subject)
        if not likely and all(_is_turned(paths[number]) for number in bad):
            likely = "; the orientation in its EXIF data is applied here, but not by the function"
        raise ProofFailed(f"{_described(function.word, paths[worst], found[worst])}{likely}; no bundle was written")
    logits = session.run_normalised(theirs)
    expected = session.run_normalised(ours)
    answers = compare_answers("logits", logits, expected, subject.logits, subject.reference.scores)
    if not answers.holds:
        raise ProofFailed(
            f"the logits from the pixels of {OPTION} {function.word} differ by {answers.relative:.1%} of their spread "
            f"(allowed {MAX_DIFFERENCE:.0%}) and {answers.differing} of {len(paths)} labels differ, although no pixel "
            f"differs by more than {max(each.largest for each in found):.2g} levels; no bundle was written"
        )


def _described(word: str, path: Path, found: PixelDifference) -> str:
    return (
        f"the pixels of {OPTION} {word} differ from the stated preprocessing: for {path.name} by "
        f"{three_digits(found.largest)} of 255 levels at most (allowed {found.limits.largest:g}) and "
        f"{three_digits(found.mean)} on average "
        f"(allowed {found.limits.mean:g})"
    )


def _is_turned(path: Path) -> bool:
    with Image.open(path) as picture:
        return orientation_of(picture) != 1


@contextlib.contextmanager
def _files(images: Images, encoded: Sequence[EncodedImage]) -> Iterator[list[Path]]:
    """Yield the paths of the self-test's image files, in a temporary folder, and of the original files."""
    with tempfile.TemporaryDirectory(prefix="edgecnn-") as folder:
        paths = []
        for number, image in enumerate(encoded):
            path = Path(folder) / f"self_test_{number}{_SUFFIX[image.format]}"
            path.write_bytes(image.content)
            paths.append(path)
        originals = (images[number] for number in range(len(images)))
        yield [*paths, *(image for image in originals if isinstance(image, Path))]


def _called(function: UserFunction, path: Path, subject: Subject) -> np.ndarray:
    """Call the user's function, and return the network's input, float32 [C, H, W]."""
    found = run_user_code(partial(function.call, str(path)), f"{OPTION} {function.word}", function.source)
    array = _array(found)
    expected = (subject.reference.preprocessing.channels, *subject.size)
    if array is None or array.dtype.kind not in "fiu":
        kind = type(found).__name__ if array is None else f"an array of {array.dtype}"
        raise EdgecnnError(f"{OPTION} {function.word} returns {kind}, expected an array or tensor {list(expected)}")
    image = array[0] if array.ndim == 4 and len(array) == 1 else array
    if image.ndim == 2 and expected[0] == 1:
        image = image[None]
    if image.shape == (*expected[1:], expected[0]) and image.shape != expected:
        image = image.transpose(2, 0, 1)
    if image.shape != expected:
        raise _other_shape(function.word, array.shape, image.shape, expected)
    if not np.isfinite(image).all():
        raise EdgecnnError(f"{OPTION} {function.word} returns values that are not finite, for {path.name}")
    return np.ascontiguousarray(image, np.float32)


def _other_shape(word: str, found: tuple[int, ...], image: tuple[int, ...], expected: tuple[int, ...]) -> EdgecnnError:
    """Return the error for an array of another shape; `image` is its shape without a batch of one."""
    text = f"{OPTION} {word} returns an array {list(found)}, the network takes {list(expected)}"
    if len(image) == 3 and expected[0] in (image[0], image[2]):
        sides = image[1:] if image[0] == expected[0] else image[:2]
        return ProofFailed(f"{text}: its image size is {sides[0]},{sides[1]}; no bundle was written")
    return EdgecnnError(f"{text}: expected one image, with or without a batch of one")


def _array(found: Any) -> np.ndarray | None:
    """Return an array, a tensor of any framework or an image as an array; None for other objects."""
    if callable(getattr(found, "detach", None)):  # a PyTorch tensor, on any device and of any type
        found = found.detach().cpu()
        found = found.float() if found.is_floating_point() else found
    try:
        array = np.asarray(found)
    except (TypeError, ValueError, RuntimeError):
        return None
    return None if array.dtype == object else array
