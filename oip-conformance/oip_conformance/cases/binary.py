"""Triton's binary tensor data extension: raw tensors behind the JSON of requests and answers."""

import json

from oip_conformance.case import Topic
from oip_conformance.cases.inference import is_batch_of_two
from oip_conformance.deviation import Deviation, NotApplicable
from oip_conformance.inferred import LENGTH, Inferred, inferred
from oip_conformance.sources import BINARY, HTTP, PERF_ANALYZER, TRITONCLIENT
from oip_conformance.subject import Subject

NAME = "binary_tensor_data"
topic = Topic("Binary tensors", NAME)

_BODY = (
    f'{BINARY}: "the HTTP body of the request or response will contain the JSON inference request or response object '
    'followed by the binary tensor data"'
)
_OUTPUT = f'{BINARY}: "bool parameter that is true if the output should be returned as binary data"'
_ALL = f'{BINARY}: "bool parameter that is true if all outputs should be returned as binary data"'
_LENGTH = (
    f'{BINARY}: "the Inference-Header-Content-Length header must be provided to give the length of the JSON object"'
)


@topic.extended("binary-both", "A request and its answer may have all tensors raw", _BODY)
def binary_both(subject: Subject) -> str:
    result = subject.same(subject.post_binary(subject.binary_document()))
    _is_binary(result)
    return "all outputs raw, as in the golden answer"


@topic.extended("binary-input", "Raw inputs are answered in JSON by default", _BODY)
def binary_input(subject: Subject) -> None:
    _needs_json(subject)
    _is_json(subject.same(subject.post_binary(subject.binary_document(parameters={}))))


@topic.extended("binary-output", "binary_data: true on an output returns it raw", _OUTPUT)
def binary_output(subject: Subject) -> None:
    _is_binary(subject.same(subject.post(subject.document(outputs=_outputs(subject, binary=True)))))


@topic.extended("binary-output-default", "binary_data_output: true returns all outputs raw", _ALL)
def binary_output_default(subject: Subject) -> None:
    _is_binary(subject.same(subject.post(subject.document(parameters={"binary_data_output": True}))))


@topic.extended(
    "binary-output-overridden",
    "binary_data: false on an output overrides binary_data_output",
    f'{BINARY}: "If "binary_data" is specified on an output it overrides this setting."',
)
def binary_output_overridden(subject: Subject) -> None:
    _needs_json(subject)
    document = subject.document(parameters={"binary_data_output": True}, outputs=_outputs(subject, binary=False))
    _is_json(subject.same(subject.post(document)))


@topic.extended("binary-length", "An answer with raw tensors declares the length of its JSON", _LENGTH)
def binary_length(subject: Subject) -> str:
    answer = subject.post_binary(subject.binary_document())
    _is_binary(inferred(answer))
    if LENGTH.lower() not in answer.headers:
        raise Deviation(LENGTH, "no such header")
    return f"{answer.headers[LENGTH.lower()]} of {len(answer.body)} bytes"


@topic.extended(
    "binary-media-type",
    "An answer with raw tensors is application/octet-stream",
    f'{BINARY}, Examples: "Content-Type: application/octet-stream"',
)
def binary_media_type(subject: Subject) -> None:
    answer = subject.post_binary(subject.binary_document())
    if answer.media_type != "application/octet-stream":
        raise Deviation("Content-Type: application/octet-stream", f"{answer.headers.get('content-type')!r:.60}")


@topic.extended("binary-id", "The id comes back in the JSON of an answer with raw tensors", _BODY)
def binary_id(subject: Subject) -> None:
    found = inferred(subject.post_binary(subject.binary_document(id="conformance-42"))).document.get("id")
    if found != "conformance-42":
        raise Deviation("the id 'conformance-42'", f"{found!r:.60}")


@topic.extended(
    "binary-unaligned",
    "Raw tensors may start at any byte",
    f'{BINARY}: "without stride or padding between elements"; nothing aligns what follows the JSON',
)
def binary_unaligned(subject: Subject) -> None:
    content = json.dumps(subject.binary_document()).encode()
    for spaces in range(4):
        subject.same(subject.post_binary(content + b" " * spaces))


@topic.extended("binary-batch", "A batch of two may be raw", _BODY)
def binary_batch(subject: Subject) -> None:
    if not subject.is_batched:
        raise NotApplicable("the first size of at least one tensor is fixed")
    is_batch_of_two(subject, inferred(subject.post_binary(subject.binary_document(batch=2), subject.raw(batch=2))))


@topic.expected(
    "binary-no-content-type", "Raw tensors without Content-Type are accepted", f"{TRITONCLIENT}: sends no Content-Type"
)
def binary_no_content_type(subject: Subject) -> None:
    subject.same(subject.post_binary(subject.binary_document(), headers={"Content-Type": None}))


@topic.expected(
    "binary-length-of-all",
    "A request in JSON may declare its whole body as JSON",
    f"{PERF_ANALYZER} --input-tensor-format json: {LENGTH} is the length of the body",
)
def binary_length_of_all(subject: Subject) -> None:
    content = json.dumps(subject.document()).encode()
    subject.same(subject.post_binary(content, b"", headers={"Content-Type": "application/json"}))


@topic.expected(
    "binary-length-any-case",
    "The name of the length header is case-insensitive",
    f'{HTTP} section 5.1: "Field names are case-insensitive"',
)
def binary_length_any_case(subject: Subject) -> None:
    content = json.dumps(subject.binary_document()).encode()
    headers = {LENGTH: None, LENGTH.lower(): str(len(content))}
    subject.same(subject.post_binary(content, headers=headers))


def _outputs(subject: Subject, *, binary: bool) -> list[dict[str, object]]:
    return [{"name": spec.name, "parameters": {"binary_data": binary}} for spec in subject.outputs]


def _needs_json(subject: Subject) -> None:
    if not subject.has_json:
        raise NotApplicable("JSON cannot represent FP16 and BF16")


def _is_binary(result: Inferred) -> None:
    if not all(output.is_binary for output in result.outputs.values()):
        raise Deviation("all outputs raw, each with binary_data_size", "outputs in JSON")


def _is_json(result: Inferred) -> None:
    if any(output.is_binary for output in result.outputs.values()):
        raise Deviation("all outputs in JSON", "raw outputs")
