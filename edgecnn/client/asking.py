"""Images of one model to logits and labels, through servers whose bundles may change meanwhile.

Labels always come from the card of the very bundle that has answered: every answer names it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.client.answer import Answer
from edgecnn.client.description import Card, Served, ask_card
from edgecnn.client.messages import infer_request, read_logits
from edgecnn.client.pictures import Picture, said_of
from edgecnn.client.transport import Transport
from edgecnn.errors import ImageError, ServerError, ServerUnavailable

_DIGEST = "x-bundle-digest"
_TRIES = 5
"""Answers whose bundle was replaced, or whose server went, before its card could be had."""

_BUNDLES = 64
"""Of which the labels are kept; a folder that is watched for months has seen more."""

_OTHERWISE = (400, 413, 415)
"""A smaller request may be answered, or tell which image is at fault."""


@dataclass(frozen=True)
class Row:
    """The answer to one image.

    Attributes:
        logits: float32 [K].
        labels: of the bundle that gave them.
        url: of the server.
        digest: of the bundle; empty where the server names none.
    """

    logits: np.ndarray
    labels: Sequence[str]
    url: str
    digest: str


class Asking:
    """Asks for one model. Any number of threads may use it.

    Attributes:
        served: the model as it was described.
        is_outdated: whether a bundle has answered since that takes other images.
    """

    def __init__(self, transport: Transport, served: Served) -> None:
        self.served = served
        self.is_outdated = False
        self._transport = transport
        self._labels_of = {} if served.card is None else {served.card.digest: served.card.labels}

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return the logits [N, K] of images [N, H, W, C]; where so many are refused, those of parts of them.

        Raises:
            ServerError: a server answered with an error.
            ServerUnavailable: no server answered in time.
        """
        try:
            return self._ask(images)[1]
        except ServerError as error:
            if error.status not in _OTHERWISE or len(images) == 1:
                raise
        half = len(images) // 2
        return np.concatenate([self.logits(images[:half]), self.logits(images[half:])])

    def rows(self, pictures: Sequence[Picture]) -> list[tuple[Picture, Row | ImageError]]:
        """Return the answer to each picture: all files, or all pixels.

        A refusal is looked into by asking for parts, down to single images: the others are answered.

        Raises:
            ServerError: a server answered with an error that no image is to blame for.
            ServerUnavailable: no server answered in time.
        """
        try:
            return list(zip(pictures, self._labelled(pictures), strict=True))
        except ServerError as error:
            is_file = isinstance(pictures[0].content, bytes)
            if error.status not in _OTHERWISE or (len(pictures) == 1 and not is_file):
                raise
            if len(pictures) == 1:
                return [(pictures[0], said_of(pictures[0], error.status, error.text))]
        half = len(pictures) // 2
        return self.rows(pictures[:half]) + self.rows(pictures[half:])

    def _labelled(self, pictures: Sequence[Picture]) -> list[Row]:
        """Ask until the answer and the labels are of the same bundle."""
        contents = [picture.content for picture in pictures]
        images = np.stack(contents) if isinstance(contents[0], np.ndarray) else contents
        for _ in range(_TRIES):
            answer, logits = self._ask(images)  # type: ignore[arg-type]
            digest = answer.headers.get(_DIGEST, "")
            labels = self._labels(answer, digest, classes=logits.shape[1])
            if labels is not None:
                return [Row(row, labels, answer.server.url, digest) for row in logits]
        raise answer.error(f"has answered {_TRIES} times from bundles of which it did not say the labels any more")

    def _ask(self, images: np.ndarray | Sequence[bytes]) -> tuple[Answer, np.ndarray]:
        answer = self._transport.ask(infer_request(self.served, images))
        return answer, read_logits(answer, self.served, count=len(images))

    def _labels(self, answer: Answer, digest: str, *, classes: int) -> Sequence[str] | None:
        """Return the labels of the bundle that has answered; None where they cannot be had any more."""
        if digest:
            labels = self._labels_of.get(digest) or self._new_labels(answer, digest, classes=classes)
        elif self.served.card is None:
            labels = _numbers(classes)
        else:
            raise answer.error(
                f"does not say which bundle has answered: something drops the header X-Bundle-Digest, or it is another "
                f"kind of server than {self.served.url}, and they cannot be asked together"
            )
        if labels is not None and len(labels) != classes:
            raise answer.strange(f"its bundle has {len(labels)} labels and gives {classes} logits")
        return labels

    def _new_labels(self, answer: Answer, digest: str, *, classes: int) -> tuple[str, ...] | None:
        """Ask who has answered for the labels of its bundle; None where that is gone meanwhile."""
        try:
            card = ask_card(self._transport, self.served.name, server=answer.server)
        except ServerUnavailable:
            return None
        self._check_same(answer, card)
        if len(self._labels_of) >= _BUNDLES:
            self._labels_of = {}
        if card is None:
            self._labels_of[digest] = _numbers(classes)  # somebody between hides the cards
            return self._labels_of[digest]
        self._labels_of[card.digest] = card.labels
        return self._labels_of.get(digest)

    def _check_same(self, answer: Answer, card: Card | None) -> None:
        """Do nothing where the bundle that has answered takes the images of the one that was described.

        Raises:
            ServerError: it takes others.
        """
        described = self.served.card
        if described is None:
            return
        if card is None:
            raise answer.strange("it names its bundle and has no card of it")
        if (card.shape, card.takes_as_is) == (described.shape, described.takes_as_is):
            return
        self.is_outdated = True
        if answer.server.url == self.served.url:
            raise answer.error(f"has another model now, not for images {list(described.shape)} as before: ask again")
        raise answer.error(
            f"takes other images for {self.served.name!r}, {list(card.shape)}, than {self.served.url}, "
            f"{list(described.shape)}, or resizes them otherwise: ask only servers of the same model together"
        )


def _numbers(classes: int) -> tuple[str, ...]:
    """Return the labels of a model of which nobody says any."""
    return tuple(map(str, range(classes)))
