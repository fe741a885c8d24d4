"""`Client`: what a `Classifier` answers, answered by a server, or by one of several.

No engine runs here. What a user sees is as with a `Classifier`: the same inputs, the same predictions, the same errors.
"""

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np

from edgecnn.bundle.decoding import ImageLike
from edgecnn.client.answer import Request
from edgecnn.client.asking import Asking
from edgecnn.client.description import Served, describe, path_of
from edgecnn.client.index import models, only_ready
from edgecnn.client.options import (
    TIMEOUT_S,
    Retries,
    check_ca,
    check_key,
    check_model,
    check_retries,
    check_timeout,
    check_urls,
)
from edgecnn.client.pictures import MOST_BYTES, Picture, chunks
from edgecnn.client.transport import Transport
from edgecnn.errors import EdgecnnError, ImageError, ServerUnavailable
from edgecnn.prediction import Prediction, answered, check_several, check_top, prediction_of, wrong_images


@dataclass(frozen=True)
class Answered:
    """The answer to one image, and who gave it.

    Attributes:
        prediction: or the error of an image that cannot be read or decoded.
        url: of the server; empty where none was asked.
        digest: of the bundle; empty where none was asked, or the server names none.
    """

    prediction: Prediction | ImageError
    url: str = ""
    digest: str = ""


class Client:
    """A way to servers that answer for a model. Any number of threads may use it at once, and forked processes too.

    Requests go to the servers in turns. One that does not answer, or is busy, rests for a while and the request goes
    to another, or again to the same; see `Retries`. Connections are kept. Close it, or use it in a `with` block.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        model: str | None = None,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: Retries = Retries(),  # noqa: B008 - frozen
        ca: str | Path | None = None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            url: of a server, such as `http://127.0.0.1:8080`, or of several that serve the same.
            model: by name; None for the only one that is ready.
            api_key: for servers that want one.
            timeout_s: for one request, all attempts and pauses together; of several servers one gets at most half of
                what is left, so that one that hangs leaves time for another. A long list of images is several requests.
            retries: how often a request is sent, and how long a server rests that failed.
            ca: PEM file with the authorities that certificates must come from; None for the system's.

        Raises:
            UsageError: something of this cannot be.
        """
        urls = check_urls(url)
        self._name = check_model(model)
        self._transport = Transport(
            urls,
            api_key=check_key(api_key),
            ca=check_ca(ca, urls),
            timeout_s=check_timeout(timeout_s),
            retries=check_retries(retries),
        )
        self._asking: Asking | None = None

    @overload  # a str is a sequence of str too; it means a path
    def predict(self, images: ImageLike, *, top: int = 5) -> Prediction: ...  # type: ignore[overload-overlap]
    @overload
    def predict(self, images: Sequence[ImageLike], *, top: int = 5) -> list[Prediction]: ...
    def predict(self, images: ImageLike | Sequence[ImageLike], *, top: int = 5) -> Prediction | list[Prediction]:
        """Classify one image or several, as `Classifier.predict` does.

        Files travel as they are and are decoded on the server; arrays and Pillow images travel without loss. A server
        that is not edgecnn's does not say how images are resized: they must then have the model's size, and labels
        are the numbers of the classes.

        Args:
            images: one image or a sequence of them, each a path, an encoded file's bytes, a Pillow image, or an array
                (uint8 [H, W], [H, W, 1] or [H, W, 3]).
            top: how many labels each prediction lists.

        Returns:
            One prediction for one image, a list for a sequence.

        Raises:
            ImageError: an image cannot be read or decoded.
            UsageError: several models are ready, and none was named.
            ServerError: a server answered with an error.
            ServerUnavailable: no server answered in time.
        """
        if isinstance(images, Sequence) and not isinstance(images, str | bytes | bytearray | memoryview):
            return list(map(answered, self.predictions(images, top=top)))
        (found,) = self.predictions([images], top=top)
        return answered(found)

    def predictions(self, images: Iterable[ImageLike], *, top: int = 5) -> Iterator[Prediction | ImageError]:
        """Classify images as they come, however many, a request's worth at a time.

        Args:
            images: as `predict` takes them.
            top: how many labels each prediction lists.

        Yields:
            For each image, in their order, its prediction, or the error of one that cannot be read or decoded.

        Raises:
            UsageError, ServerError, ServerUnavailable: as `predict`.
        """
        return (each.prediction for each in self.answers(images, top=top))

    def answers(self, images: Iterable[ImageLike], *, top: int = 5) -> Iterator[Answered]:
        """Classify images as `predictions` does, and say with each who has answered."""
        check_top(top)
        check_several(images)
        return self._answers(images, top)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Compute logits of preprocessed images.

        Args:
            images: uint8 [N, H, W, C] of exactly the model's size.

        Returns:
            float32 [N, K].

        Raises:
            UsageError: the images have another shape or type; or as `predict`.
            ServerError, ServerUnavailable: as `predict`.
        """
        asking = self._begun()
        served = asking.served
        is_array = isinstance(images, np.ndarray)
        if not is_array or images.dtype != np.uint8 or images.ndim != 4 or not _fits(images.shape[1:], served):
            raise wrong_images(images, served.shape)
        if not len(images):
            return np.empty((0, max(served.classes, 0)), np.float32)
        size = max(1, min(served.max_batch, MOST_BYTES // max(images[0].nbytes, 1)))
        found = [asking.logits(images[start : start + size]) for start in range(0, len(images), size)]
        if len({part.shape[1] for part in found}) > 1:
            raise EdgecnnError(f"the servers' models {served.name!r} have different numbers of classes")
        return np.concatenate(found)

    @property
    def model(self) -> str:
        """Name of the model that answers.

        Raises:
            UsageError: several are ready, and none was named.
            ServerError, ServerUnavailable: as `predict`.
        """
        if self._name is None:
            self._name = only_ready(self._transport)
        return self._name

    def models(self) -> list[dict[str, str]]:
        """Return what a server serves: name, version, state and, where it does not answer, the reason of each model."""
        return models(self._transport)

    def card(self, model: str | None = None) -> dict[str, Any]:
        """Return what a server says of a model for people: labels, digest, precision, engine, proof, self-test.

        Args:
            model: by name; None for the one that answers.
        """
        answer = self._transport.ask(Request("GET", f"{path_of(check_model(model) or self.model)}/card"))
        document = answer.json()
        if not isinstance(document, dict):
            raise answer.strange("its card is no object")
        return document

    def is_ready(self) -> bool:
        """Whether a server says that it will answer; each is asked once."""
        for server in self._transport.servers:
            with contextlib.suppress(ServerUnavailable):
                if self._transport.ask_of(server, Request("GET", "/v2/health/ready")).is_good:
                    return True
        return False

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _begun(self) -> Asking:
        """Return what asks for this client's model; two threads may both make it, and either will do."""
        asking = self._asking
        if asking is None or asking.is_outdated:
            asking = self._asking = Asking(self._transport, describe(self._transport, self.model))
        return asking

    def _answers(self, images: Iterable[ImageLike], top: int) -> Iterator[Answered]:
        rest = iter(images)
        for first in rest:  # who has no images asks nobody
            asking = self._begun()
            for chunk in chunks(itertools.chain([first], rest), asking.served):
                yield from _answer(asking, chunk, top)


def _answer(asking: Asking, chunk: list[Picture | ImageError], top: int) -> Iterator[Answered]:
    """Classify the images of a request, files and pixels each for themselves."""
    files = [each for each in chunk if isinstance(each, Picture) and isinstance(each.content, bytes)]
    pixels = [each for each in chunk if isinstance(each, Picture) and isinstance(each.content, np.ndarray)]
    rows = {id(picture): row for group in (files, pixels) if group for picture, row in asking.rows(group)}
    for each in chunk:
        row = each if isinstance(each, ImageError) else rows[id(each)]
        if isinstance(row, ImageError):
            yield Answered(row)
        else:
            yield Answered(prediction_of(row.logits, row.labels, top=top), row.url, row.digest)


def _fits(shape: tuple[int, ...], served: Served) -> bool:
    return all(wanted in (-1, size) for wanted, size in zip(served.shape, shape, strict=True))
