"""`Client`: a `Classifier` whose bundle runs on one or several servers.

It takes the same inputs, and returns the same predictions and errors. No engine runs here.
"""

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from edgecnn.bundle.decoding import ImageLike
from edgecnn.client.connections import Request
from edgecnn.client.description import describe, path_of
from edgecnn.client.failover import Failover
from edgecnn.client.images import MAX_REQUEST_BYTES, Picture, chunks
from edgecnn.client.inference import ImageResult, Inference
from edgecnn.client.options import TIMEOUT_S, Options, Retries, check_model, parse_urls
from edgecnn.client.responses import ServerResponse, one_line
from edgecnn.errors import EdgecnnError, ImageError, ServerError, ServerUnavailable, UsageError
from edgecnn.prediction import Prediction, answered, check_several, check_top, wrong_images


class Client:
    """Classifies images on one server, or on several that serve the same model. Thread-safe and fork-safe.

    Requests go to the servers in turns. If a server does not answer or is busy, the request goes to another one, or
    again to the same one after its back-off; see `Retries`. Connections stay open: close the client, or use it in a
    `with` block.
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
        """Check the options; no connection is opened yet.

        Args:
            url: URL of a server, such as `http://127.0.0.1:8080`, or a list of URLs.
            model: name of the model; None for the only ready one.
            api_key: for servers that require one.
            timeout_s: for one request, with all attempts and pauses; one of several servers gets at most half of the
                remaining time. A long list of images needs several requests.
            retries: how often a request is sent, and how long a failed server is skipped.
            ca: PEM file of certificate authorities; None for the system's.

        Raises:
            UsageError: an option is invalid.
        """
        self._options = Options(parse_urls(url), model, api_key, timeout_s, retries, ca)
        self._name = model
        self._servers = Failover(self._options)
        self._inference: Inference | None = None

    @overload  # a str is a sequence of str too; it means a path
    def predict(self, images: ImageLike, *, top: int = 5) -> Prediction: ...  # type: ignore[overload-overlap]
    @overload
    def predict(self, images: Sequence[ImageLike], *, top: int = 5) -> list[Prediction]: ...
    def predict(self, images: ImageLike | Sequence[ImageLike], *, top: int = 5) -> Prediction | list[Prediction]:
        """Classify one image or several, as `Classifier.predict` does.

        Files are sent unchanged and decoded on the server; arrays and Pillow images are sent without loss. Other
        servers than edgecnn's report neither labels nor preprocessing: labels are then class numbers, and each image
        must have the model's size.

        Args:
            images: one image or a sequence of them, each a path, an encoded file's bytes, a Pillow image, or an array
                (uint8 [H, W], [H, W, 1] or [H, W, 3]).
            top: how many labels each prediction lists.

        Returns:
            One prediction for one image, a list for a sequence.

        Raises:
            ImageError: an image cannot be read or decoded.
            UsageError: several models are ready, and no name was given.
            ServerError: a server answered with an error.
            ServerUnavailable: no server answered in time.
        """
        if isinstance(images, Sequence) and not isinstance(images, str | bytes | bytearray | memoryview):
            return list(map(answered, self.predictions(images, top=top)))
        (found,) = self.predictions([images], top=top)
        return answered(found)

    def predictions(self, images: Iterable[ImageLike], *, top: int = 5) -> Iterator[Prediction | ImageError]:
        """Classify any number of images lazily, one request at a time; images, `top` and errors are as for `predict`.

        Yields:
            For each image, in order, its prediction, or its error if it cannot be read or decoded.
        """
        return (each.prediction for each in self.answers(images, top=top))

    def answers(self, images: Iterable[ImageLike], *, top: int = 5) -> Iterator[ImageResult]:
        """Classify images as `predictions` does; each result includes the server and the bundle."""
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
        inference = self._get_inference()
        model = inference.model
        is_batch = isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.ndim == 4
        if not is_batch or any(size not in (-1, n) for size, n in zip(model.shape, images.shape[1:], strict=True)):
            raise wrong_images(images, model.shape)
        if not len(images):
            return np.empty((0, max(model.classes, 0)), np.float32)
        size = max(1, min(model.max_batch, MAX_REQUEST_BYTES // max(images[0].nbytes, 1)))
        found = [inference.logits(images[start : start + size]) for start in range(0, len(images), size)]
        if len({part.shape[1] for part in found}) > 1:
            raise EdgecnnError(f"model {model.name!r} was replaced and has other classes now: call again")
        return np.concatenate(found)

    @property
    def model(self) -> str:
        """Name of the model.

        Raises:
            UsageError: several models are ready, and no name was given.
            ServerError, ServerUnavailable: as `predict`.
        """
        if self._name is None:
            self._name = _only_ready(self.models(), ", ".join(self._options.urls))
        return self._name

    def models(self) -> list[dict[str, str]]:
        """Return name, version and state of each model of a server, with the reason if it is not ready."""
        return self._servers.send(Request("POST", "/v2/repository/index"), _index)

    def card(self, model: str | None = None) -> dict[str, Any]:
        """Return the card of a model, by default this client's: labels, digest, precision, engine and so on."""
        return self._servers.send(Request("GET", f"{path_of(check_model(model) or self.model)}/card"), _card)

    def is_ready(self) -> bool:
        """Whether one of the servers is ready; a request is sent to each at most once."""
        for url in self._options.urls:
            with contextlib.suppress(ServerUnavailable, ServerError):
                self._servers.send_to(url, Request("GET", "/v2/health/ready"), lambda _: None)
                return True
        return False

    def close(self) -> None:
        """Close the connections."""
        self._servers.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _get_inference(self) -> Inference:
        """Return the object that sends images to the model. If two threads create it at once, either one works."""
        inference = self._inference
        if inference is None or inference.is_outdated:
            inference = self._inference = Inference(self._servers, describe(self._servers, self.model))
        return inference

    def _answers(self, images: Iterable[ImageLike], top: int) -> Iterator[ImageResult]:
        rest = iter(images)
        for first in rest:  # without images no request is sent
            inference = self._get_inference()
            for chunk in chunks(itertools.chain([first], rest), inference.model):
                yield from _classify(inference, chunk, top)


def _classify(inference: Inference, chunk: list[Picture | ImageError], top: int) -> list[ImageResult]:
    """Classify the images of a chunk; files and pixels are separate requests."""
    found = {index: ImageResult(each) for index, each in enumerate(chunk) if isinstance(each, ImageError)}
    for kind in (bytes, np.ndarray):
        group = {n: each for n, each in enumerate(chunk) if isinstance(each, Picture) and type(each.content) is kind}
        if group:
            found |= zip(group, inference.answers(list(group.values()), top=top), strict=True)
    return [found[index] for index in range(len(chunk))]


def _index(response: ServerResponse) -> list[dict[str, str]]:
    index = response.json()
    if not (isinstance(index, list) and all(isinstance(entry, dict) and "name" in entry for entry in index)):
        raise response.protocol_error("expected a list of models as index")
    return index


def _card(response: ServerResponse) -> dict[str, Any]:
    card = response.json()
    if not isinstance(card, dict):
        raise response.protocol_error("expected a JSON object as card")
    return card


def _only_ready(index: list[dict[str, str]], urls: str) -> str:
    """Return the name of the only ready model in an index."""
    ready = sorted({str(each["name"]) for each in index if each.get("state", "READY") == "READY"})
    if len(ready) > 1:
        raise UsageError(f"{urls} serves {one_line(', '.join(ready))}: choose one with model (--model)")
    if not ready:
        reasons = "; ".join(
            f"{each['name']} is {str(each['state']).lower()}: {each.get('reason', '')}" for each in index
        )
        raise EdgecnnError(f"no model is ready at {urls}{': ' if reasons else ''}{one_line(reasons)}")
    return ready[0]
