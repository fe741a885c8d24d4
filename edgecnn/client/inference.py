"""Sends images to one model and returns logits and labels, while servers may load other bundles.

A result gets the labels of the bundle that computed it: each response has the digest of the bundle.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.manifest import SOFTMAX, Scores
from edgecnn.client.connections import Request
from edgecnn.client.description import Card, Description, parse_card, path_of
from edgecnn.client.failover import Failover
from edgecnn.client.images import Picture
from edgecnn.client.responses import OneServersError, ServerResponse
from edgecnn.errors import ImageError, ServerError, ServerUnavailable
from edgecnn.prediction import Prediction, Stage, prediction_of
from edgecnn.protocol.client_codec import decode_logits, encode_request
from edgecnn.protocol.http_headers import BUNDLE_DIGEST, HEADER_LENGTH, STAGE
from edgecnn.protocol.stages import parse_stages

_MAX_TRIES = 5
"""Maximum attempts for a result, if the bundle or the server disappears before its card is read."""

_MAX_BUNDLES = 64
"""Maximum number of bundles whose cards are cached."""

_REFUSED = (400, 413, 415)
"""Statuses after which each image is sent separately: one is invalid, or all together are too large."""


@dataclass(frozen=True)
class ImageResult:
    """The result for one image.

    Attributes:
        prediction: or the error of an image that cannot be read or decoded.
        url: of the server; empty if the image was not sent.
        digest: of the bundle; empty if the image was not sent, or the server does not report it.
        scores: of the bundle; softmax if the server does not report them.
    """

    prediction: Prediction | ImageError
    url: str = ""
    digest: str = ""
    scores: Scores = SOFTMAX


class Inference:
    """Sends images to one model. Thread-safe.

    Attributes:
        model: the description of the model.
        is_outdated: whether a bundle for other images has answered since then.
    """

    def __init__(self, servers: Failover, model: Description) -> None:
        self.model = model
        self.is_outdated = False
        self._servers = servers
        self._cards = {} if model.card is None else {model.card.digest: model.card}

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return the logits [N, K] of images [N, H, W, C]."""
        try:
            return self._infer(images)[1]
        except ServerError as error:
            if error.status not in _REFUSED or len(images) == 1:
                raise
        return np.concatenate([self.logits(image[None]) for image in images])

    def answers(self, pictures: Sequence[Picture], *, top: int) -> list[ImageResult]:
        """Return the result for each picture; all are files, or all are pixels.

        Raises `ServerError` only for an error that no single image causes.
        """
        try:
            return self._answers([picture.content for picture in pictures], top)
        except ServerError as error:
            is_file = isinstance(pictures[0].content, bytes)
            if error.status not in _REFUSED or (len(pictures) == 1 and not is_file):
                raise
            if len(pictures) == 1:
                return [ImageResult(pictures[0].refused(error))]
        return [answer for picture in pictures for answer in self.answers([picture], top=top)]

    def _answers(self, contents: Sequence[bytes | np.ndarray], top: int) -> list[ImageResult]:
        """Send images until the labels of the bundle that answered are known."""
        images = np.stack(contents) if isinstance(contents[0], np.ndarray) else contents
        failure: OneServersError | None = None
        for _ in range(_MAX_TRIES):
            response, logits = self._infer(images)  # type: ignore[arg-type]
            digest = response.headers.get(BUNDLE_DIGEST.lower(), "")
            try:
                card = self._card(response, digest, classes=logits.shape[1])
            except OneServersError as error:  # the next server in turn may have a card
                failure = error
                continue
            if card is not None:
                predictions = (
                    prediction_of(row, card.labels, top=top, scores=card.scores, stage=stage)
                    for row, stage in zip(logits, _stages(response, len(logits)), strict=True)
                )
                return [ImageResult(each, response.url, digest, card.scores) for each in predictions]
        raise failure or response.error(f"replaced its bundle {_MAX_TRIES} times before the labels could be read")

    def _infer(self, images: np.ndarray | Sequence[bytes]) -> tuple[ServerResponse, np.ndarray]:
        model = self.model
        body, header_length = encode_request(images, input_name=model.input_name, output_name=model.output_name)
        headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(header_length)}
        request = Request("POST", f"{path_of(model.name)}/infer", body, headers)
        return self._servers.send(request, lambda response: self._read(response, count=len(images)))

    def _read(self, response: ServerResponse, *, count: int) -> tuple[ServerResponse, np.ndarray]:
        """Return a response and the logits in it."""
        length = response.headers.get(HEADER_LENGTH.lower())
        try:
            logits = decode_logits(response.body, length, output_name=self.model.output_name, count=count)
        except ValueError as error:
            raise response.protocol_error(str(error)) from None
        if not np.isfinite(logits).all():
            message = "returned logits that are not finite: verify the bundle on the server"
            raise response.error(message, OneServersError)
        return response, logits

    def _card(self, response: ServerResponse, digest: str, *, classes: int) -> Card | None:
        """Return the card of the bundle that answered; None if it is no longer available.

        If the server has no cards, the labels are the numbers of the classes.
        """
        if self.model.card is None:
            return Card("", tuple(map(str, range(classes))), self.model.shape, keeps_pixels=False, scores=SOFTMAX)
        if not digest:
            raise response.error(f"does not report its bundle: expected the header {BUNDLE_DIGEST}")
        card = self._cards.get(digest) or self._fetch_card(response, digest, self.model.card)
        if card is not None and len(card.labels) != classes:
            raise response.error(f"has a bundle with {len(card.labels)} labels and returned {classes} logits")
        return card

    def _fetch_card(self, response: ServerResponse, digest: str, described: Card) -> Card | None:
        """Read the card of a new bundle from the server that answered; None if either is no longer available."""
        try:
            card = self._servers.send_to(response.url, Request("GET", f"{path_of(self.model.name)}/card"), parse_card)
        except ServerUnavailable:
            return None
        except OneServersError as error:
            message = f"reports the digest of a bundle, but no card: it answers {error.status}: {error.text}"
            raise response.error(message, OneServersError) from None
        if (card.shape, card.keeps_pixels) != (described.shape, described.keeps_pixels):
            self.is_outdated = True
            raise response.error(
                f"has a new model with other preprocessing, for images {list(card.shape)} instead of "
                f"{list(described.shape)}: call again"
            )
        if len(self._cards) >= _MAX_BUNDLES:
            self._cards = {}
        self._cards[card.digest] = card
        return card if card.digest == digest else None


def _stages(response: ServerResponse, count: int) -> tuple[Stage | None, ...]:
    """Return which graph of a cascade answered each image; None for a bundle with one graph."""
    text = response.headers.get(STAGE.lower())
    if text is None:
        return (None,) * count
    try:
        return parse_stages(text, count)
    except ValueError as error:
        raise response.protocol_error(f"{STAGE}: {error}") from None
