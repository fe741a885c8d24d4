"""Raw binary requests: the body is one tensor without JSON."""

from oip_conformance.answer import Answer
from oip_conformance.case import Topic
from oip_conformance.cases.binary import NAME
from oip_conformance.deviation import Deviation, NotApplicable
from oip_conformance.expecting import refused
from oip_conformance.sources import BINARY
from oip_conformance.subject import Subject

topic = Topic("Raw binary requests", NAME)

_SOURCE = (
    f'{BINARY}, Raw Binary Request: "the Inference-Header-Content-Length header must be provided with value 0 to '
    "indicate that the request body doesn't include the inference header\""
)


@topic.extended("raw", "A body that is one tensor is answered as a batch of one", _SOURCE)
def raw(subject: Subject) -> None:
    subject.same(_send(subject, _body(subject)))


@topic.extended(
    "raw-outputs",
    "All outputs of a raw request are returned raw",
    f'{BINARY}, Raw Binary Request: "all the model output will be requested to be returned in binary tensor form"',
)
def raw_outputs(subject: Subject) -> None:
    result = subject.same(_send(subject, _body(subject)))
    if not all(output.is_binary for output in result.outputs.values()):
        raise Deviation("all outputs raw, each with binary_data_size", "outputs in JSON")


@topic.extended(
    "raw-size",
    "A raw request whose size fits no shape of the model is refused",
    f'{BINARY}, Raw Binary Request: "For models whose tensor metadata can be deduced from the byte size of the binary '
    'data."',
)
def raw_size(subject: Subject) -> str:
    body = _body(subject)
    if len(body) < 2:
        raise NotApplicable("the input is a single byte")
    return refused(_send(subject, body[:-1]))


def _send(subject: Subject, body: bytes) -> Answer:
    return subject.post_binary(b"", body, length="0")


def _body(subject: Subject) -> bytes:
    if len(subject.inputs) != 1:
        raise NotApplicable("the model has more than one input")
    (spec,) = subject.inputs
    if any(size < 0 for size in spec.shape[1:]) or (spec.shape[:1] == (-1,) and not subject.is_batched):
        raise NotApplicable("the shape of the input does not follow from its size")
    if spec.datatype == "BYTES":
        if spec.sized() != (1,) * len(spec.shape):
            raise NotApplicable("the input may be more than one element")
        return b"a"  # the only BYTES tensor without a length prefix
    return subject.raw()
