"""What a server says of a model: the tensors that it takes and gives, and the card of the bundle that answers.

Only edgecnn has cards; of another server's model the tensors are known, and neither labels nor how images are resized.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.client.answer import Answer, Request, one_line
from edgecnn.client.rotation import Server
from edgecnn.client.transport import Transport
from edgecnn.errors import ServerError, UsageError
from edgecnn.files.schema import SchemaError, read

_BATCH = 32
"""Images of a request where the server does not say how many it takes: edgecnn's own default."""

_LOCKED = (401, 403)


@dataclass(frozen=True)
class Card:
    """What is told of a bundle.

    Attributes:
        digest: of the bundle; every answer names the one that gave it.
        labels: class names in the order of the logits.
        shape: height, width and channels of its images.
        takes_as_is: whether an image of just this size is neither resized nor cropped.
    """

    digest: str
    labels: tuple[str, ...]
    shape: tuple[int, int, int]
    takes_as_is: bool


@dataclass(frozen=True)
class Served:
    """A model as a server describes it.

    Attributes:
        name: of the model.
        url: of the server that describes it so.
        input: name of the one that it has.
        output: name of its logits.
        shape: height, width and channels of images; -1 where any size will do.
        classes: how many logits an image has; -1 where the server does not say.
        max_batch: images of a request, at most.
        card: of the bundle behind it, when it was described; None where the server has none.
    """

    name: str
    url: str
    input: str
    output: str
    shape: tuple[int, int, int]
    classes: int
    max_batch: int
    card: Card | None

    @property
    def path(self) -> str:
        """Of the model, behind a server's URL."""
        return path_of(self.name)


def path_of(name: str) -> str:
    """Return the path of a model, behind a server's URL."""
    return f"/v2/models/{quote(name, safe='')}"


def describe(transport: Transport, name: str) -> Served:
    """Ask one server what a model takes and gives.

    Raises:
        UsageError: it is no model that classifies images.
        ServerError: no server has such a model, or the one that was asked does not speak the protocol.
        ServerUnavailable: no server answered in time.
    """
    path = path_of(name)
    answer, of_card, of_config = transport.ask_one_server(
        Request("GET", path), Request("GET", f"{path}/card"), Request("GET", f"{path}/config")
    )
    document = answer.json()
    try:
        (taken,), (given,) = document["inputs"], document["outputs"]
        input_name, output_name = str(taken["name"]), str(given["name"])
        sizes, classes = [int(size) for size in taken["shape"]], int(given["shape"][-1])
        kinds = (taken["datatype"], given["datatype"])
    except (KeyError, IndexError, TypeError, ValueError):
        raise answer.strange(f"model {name!r} is not described by one input and one output") from None
    if kinds != ("UINT8", "FP32") or len(sizes) != 4:
        raise UsageError(
            f"model {name!r} at {answer.server.url} takes {one_line(f'{kinds[0]} {sizes} and gives {kinds[1]}')}: this "
            f"client is for models that take UINT8 [N, H, W, C] and give FP32 logits, as all bundles do"
        )
    shape = (sizes[1], sizes[2], sizes[3])
    card = _card_if_any(of_card)
    return Served(name, answer.server.url, input_name, output_name, shape, classes, _max_batch(of_config), card)


def _card_of(answer: Answer) -> Card:
    """Read the answer to the question for a card.

    Raises:
        ServerError: it is none.
    """
    document = answer.json()
    try:
        height, width, channels = (int(size) for size in document["image"])
        labels = tuple(str(label) for label in document["labels"])
        as_is = _takes_as_is(document.get("preprocessing"), height, width)
        return Card(str(document["digest"]), labels, (height, width, channels), as_is)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise answer.strange("the model's card lacks digest, labels or image") from None


def ask_card(transport: Transport, name: str, *, server: Server) -> Card | None:
    """Ask one server for the card of a model; None where it has none.

    Raises:
        ServerError: it does not say.
        ServerUnavailable: it does not answer.
    """
    return _card_if_any(transport.ask_of(server, Request("GET", f"{path_of(name)}/card")))


def _card_if_any(answer: Answer) -> Card | None:
    """Read the answer to the question for a card; None where the server has none."""
    if not answer.is_good and answer.status < 500 and answer.status not in _LOCKED:
        return None
    return _card_of(answer.accepted())


def _max_batch(answer: Answer) -> int:
    """Return how many images a request may hold; a server that says 0 leaves that to the model."""
    try:
        document = answer.accepted().json()
    except ServerError:
        return _BATCH
    found = document.get("max_batch_size") if isinstance(document, dict) else None
    return found if type(found) is int and found > 0 else _BATCH


def _takes_as_is(document: Any, height: int, width: int) -> bool:
    try:
        return read(Preprocessing, document).keeps(height, width)
    except SchemaError:  # of a server that does not say it, or says more than is known here
        return False
