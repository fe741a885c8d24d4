"""An inference request whose body is an image file, and the query of its URL: extensions of this server."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from edgecnn.protocol.datatypes import TensorSpec
from edgecnn.protocol.matching import PROBABILITIES, Accepted, RequestedOutput
from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.request import InferRequest

_WITHOUT_BREAKS = b"\x89PNG\x1a"
"""First bytes of a PNG file whose line breaks `curl -d` removed."""


@dataclass(frozen=True)
class Wanted:
    """What a query requests: the number of best classes, 0 for all numbers, and whether these are probabilities."""

    classes: int = 0
    probabilities: bool = False


def wanted_by(query: str) -> Wanted:
    """Read the query of a URL.

    Raises:
        Refusal: `classification` is not a number, or `probabilities` not `true` or `false`.
    """
    given = parse_qs(query, keep_blank_values=True)
    classes = given.get("classification", ["0"])[-1]
    if not (classes.isascii() and classes.isdecimal()):
        raise Refusal("invalid", "classification in the query: expected a number of classes")
    probabilities = given.get(PROBABILITIES, ["false"])[-1]
    if probabilities not in {"true", "false"}:
        raise Refusal("invalid", f"{PROBABILITIES} in the query: expected true or false")
    return Wanted(int(classes.lstrip("0")[:9] or "0"), probabilities == "true")


def of_an_image(body: bytes, *, accepted: Accepted, outputs: Mapping[str, TensorSpec], wanted: Wanted) -> InferRequest:
    """Return the request for an image file, for the logits or probabilities, or for the best classes.

    `accepted` has one input, and `outputs` one output.

    Raises:
        Refusal: curl removed the line breaks of the file.
    """
    if body.startswith(_WITHOUT_BREAKS):
        raise Refusal("invalid", "cannot decode: the PNG file lost its line breaks: use curl --data-binary, not -d")
    (name,), (output,) = accepted, outputs
    requested = RequestedOutput(
        PROBABILITIES if wanted.probabilities else output, False, wanted.classes, wanted.probabilities
    )
    return InferRequest(id=None, inputs={name: (body,)}, outputs=(requested,), timeout_s=None)
