"""Reads the description of a model from a server: its tensors, and the card of its bundle.

Only edgecnn has cards. Other servers report neither labels nor preprocessing.
"""

from dataclasses import dataclass
from urllib.parse import quote

from edgecnn.bundle.manifest import SOFTMAX, Scores
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.client.connections import Request
from edgecnn.client.failover import Failover
from edgecnn.client.responses import ForeignError, ServerResponse, one_line
from edgecnn.errors import ServerError, UsageError
from edgecnn.files.schema import SchemaError, read

_MAX_BATCH = 32
"""Images per request if the server does not report a limit: edgecnn's default."""


@dataclass(frozen=True)
class Card:
    """A server's card of a bundle.

    Attributes:
        digest: of the bundle; each result has the digest of the bundle that computed it.
        labels: class names in the order of the logits.
        shape: height, width and channels of its images.
        keeps_pixels: whether an image of this shape is neither resized nor cropped.
        scores: how logits become scores; softmax if the card of an earlier version does not contain them.
    """

    digest: str
    labels: tuple[str, ...]
    shape: tuple[int, int, int]
    keeps_pixels: bool
    scores: Scores


@dataclass(frozen=True)
class Description:
    """A model as a server describes it.

    Attributes:
        shape: height, width and channels of images; -1 for any size.
        classes: logits per image; -1 if unknown.
        max_batch: images per request, at most.
        card: of the bundle; None if the server has no cards.
    """

    name: str
    input_name: str
    output_name: str
    shape: tuple[int, int, int]
    classes: int
    max_batch: int
    card: Card | None


def path_of(name: str) -> str:
    """Return the path of a model, relative to the server's URL."""
    return f"/v2/models/{quote(name, safe='')}"


def describe(servers: Failover, name: str) -> Description:
    """Request the description of a model.

    Raises:
        UsageError: the model does not classify images.
        ServerError: the model was not found, or the server does not follow the protocol.
        ServerUnavailable: no server answered in time.
    """
    path = path_of(name)
    input_name, output_name, shape, classes = servers.send(
        Request("GET", path), lambda response: _tensors(response, name)
    )
    card: Card | None = None
    try:
        card = servers.send(Request("GET", f"{path}/card"), parse_card)
    except ServerError as error:
        # Other servers have no such path. An error of a proxy means nothing, and the labels would be lost.
        if not 400 <= error.status < 500 or error.status in (401, 403) or isinstance(error, ForeignError):
            raise
    try:
        max_batch = servers.send(Request("GET", f"{path}/config"), _max_batch)
    except ServerError:
        max_batch = _MAX_BATCH
    return Description(name, input_name, output_name, shape, classes, max_batch, card)


def _tensors(response: ServerResponse, name: str) -> tuple[str, str, tuple[int, int, int], int]:
    """Return the names of input and output, the shape of an image, and the number of classes (-1 if unknown)."""
    document = response.json()
    try:
        (image,), (logits,) = document["inputs"], document["outputs"]
        names = str(image["name"]), str(logits["name"])
        sizes, classes = [int(size) for size in image["shape"]], int(logits["shape"][-1])
        datatypes = (image["datatype"], logits["datatype"])
    except (KeyError, IndexError, TypeError, ValueError):
        raise response.protocol_error(f"expected one input and one output for model {name!r}") from None
    if datatypes != ("UINT8", "FP32") or len(sizes) != 4:
        raise UsageError(
            f"model {name!r} at {response.url} takes {one_line(f'{datatypes[0]} {sizes} and returns {datatypes[1]}')}: "
            f"expected UINT8 [N, H, W, C] and FP32 logits, as bundles have"
        )
    return *names, (sizes[1], sizes[2], sizes[3]), classes


def parse_card(response: ServerResponse) -> Card:
    """Read a model's card; raises `ServerError` if it is malformed."""
    document = response.json()
    try:
        height, width, channels = (int(size) for size in document["image"])
        labels = tuple(str(label) for label in document["labels"])
        try:
            keeps_pixels = read(Preprocessing, document.get("preprocessing")).keeps(height, width)
        except SchemaError:  # missing, or written by a later version
            keeps_pixels = False
        scores = read(Scores, document["scores"]) if "scores" in document else SOFTMAX
        return Card(str(document["digest"]), labels, (height, width, channels), keeps_pixels, scores)
    except SchemaError as error:
        raise response.protocol_error(f"expected scores of this version in the model's card ({error})") from None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise response.protocol_error("expected digest, labels and image in the model's card") from None


def _max_batch(response: ServerResponse) -> int:
    """Return how many images a request may contain."""
    document = response.json()
    found = document.get("max_batch_size") if isinstance(document, dict) else None
    return found if type(found) is int and found > 0 else _MAX_BATCH
