"""Inference in JSON: all valid forms of a request get the same answer."""

from typing import Any

import numpy as np

from oip_conformance import tensors
from oip_conformance.case import Topic
from oip_conformance.deviation import Deviation, NotApplicable
from oip_conformance.inferred import Inferred, inferred
from oip_conformance.sources import JSON, PERF_ANALYZER, REST, TRITONCLIENT, YAML
from oip_conformance.subject import Subject

topic = Topic("Inference in JSON")


@topic.required(
    "infer",
    "POST /v2/models/M/infer answers 200 with the model's outputs",
    f'{REST}, Inference Response JSON Object: "A successful inference request is indicated by a 200 HTTP status code."',
)
def infer(subject: Subject) -> str:
    result = subject.same(subject.post(subject.document()))
    return ", ".join(f"{name} {each.datatype} {list(each.values.shape)}" for name, each in result.outputs.items())


@topic.required(
    "infer-version",
    "POST /v2/models/M/versions/V/infer answers the same",
    f"{YAML}, paths: /v2/models/${{MODEL_NAME}}/versions/${{MODEL_VERSION}}/infer",
)
def infer_version(subject: Subject) -> None:
    subject.same(subject.post(subject.document(), path=f"{subject.versioned}/infer"))


@topic.required(
    "infer-media-type",
    "An answer in JSON is application/json",
    f"{YAML}, …/infer, responses, '200': content: application/json",
)
def infer_media_type(subject: Subject) -> None:
    answer = subject.post(subject.document())
    inferred(answer)
    if answer.media_type != "application/json":
        raise Deviation("Content-Type: application/json", f"{answer.headers.get('content-type')!r:.60}")


@topic.required(
    "model-name",
    "An answer names the model",
    f'{REST}, Inference Response JSON Object: "“model_name” : The name of the model used for inference."',
)
def model_name(subject: Subject) -> None:
    found = inferred(subject.post(subject.document())).document["model_name"]
    if found != subject.model:
        raise Deviation(f"{subject.model!r}", f"{found!r:.60}")


@topic.required(
    "model-version",
    "model_version is a string where an answer has it",
    f"{YAML}, inference_response: model_version: type: string",
)
def model_version(subject: Subject) -> str:
    found = inferred(subject.post(subject.document())).document.get("model_version")
    if found is None:
        raise NotApplicable("the answer has no model_version")
    if not isinstance(found, str):
        raise Deviation("a string", f"{found!r:.60}")
    return repr(found)


@topic.required(
    "outputs-as-declared",
    "Outputs have the datatypes and shapes that the metadata declare",
    f'{REST}, Response Output: "“datatype” : The data-type of the output tensor elements as defined in Tensor Data '
    'Types."',
)
def outputs_as_declared(subject: Subject) -> None:
    result = inferred(subject.post(subject.document()))
    for spec in subject.outputs:
        if spec.name not in result.outputs:
            raise Deviation(f"output {spec.name!r}", f"{sorted(result.outputs)}")
        output = result.outputs[spec.name]
        if output.datatype != spec.datatype or not _fits(output.values.shape, spec.shape):
            expected = f"{spec.name!r} as {spec.datatype} {list(spec.shape)}"
            raise Deviation(expected, f"{output.datatype} {list(output.values.shape)}")


@topic.required(
    "all-outputs",
    "Without a list of outputs all outputs are returned",
    f'{REST}, Inference Request JSON Object: "Optional, if not specified all outputs produced by the model will be '
    'returned"',
)
def all_outputs(subject: Subject) -> None:
    _has_outputs(inferred(subject.post(subject.document())), {spec.name for spec in subject.outputs})


@topic.required(
    "selected-output",
    "A request that lists one output gets only that output",
    f'{REST}, Request Output: "The $request_output JSON is used to request which output tensors should be returned '
    'from the model."',
)
def selected_output(subject: Subject) -> None:
    wanted = subject.outputs[0].name
    _has_outputs(inferred(subject.post(subject.document(outputs=[{"name": wanted}]))), {wanted})


@topic.required(
    "id-echoed",
    "An answer has the id of its request",
    f'{REST}, Inference Request JSON Object: "Optional, but if specified this identifier must be returned in the '
    'response."',
)
def id_echoed(subject: Subject) -> None:
    _echoes(subject, "conformance-42")


@topic.required(
    "id-escaped",
    "An id with quotes, line breaks and other scripts is returned unchanged",
    f'{REST}, Inference Request JSON Object: "if specified this identifier must be returned in the response."',
)
def id_escaped(subject: Subject) -> None:
    _echoes(subject, 'a "b" \\ \r\n\t Ω 数')


@topic.expected(
    "id-empty",
    "An empty id is accepted",
    f'{PERF_ANALYZER}: sends "id":"" with every request',
)
def id_empty(subject: Subject) -> None:
    subject.same(subject.post(subject.document(id="")))


@topic.required(
    "nested-data",
    "Nested data and flat data get the same answer",
    f'{REST}, Tensor Data: "Tensor elements may be presented in their nature multi-dimensional representation, or as a '
    'flattened one-dimensional representation."',
)
def nested_data(subject: Subject) -> None:
    document = subject.document()
    for spec, entry in zip(subject.inputs, document["inputs"], strict=True):
        flat = np.array(entry["data"], object)
        entry["data"] = flat.reshape(spec.sized()).tolist() if spec.shape else entry["data"]
    subject.same(subject.post(document))


@topic.required(
    "batch",
    "Each item of a batch of two gets the same answer as alone",
    f'{REST}, Request Input: "If the input is batched, the shape and data must represent the full shape and contents '
    'of the entire batch."',
)
def batch(subject: Subject) -> None:
    if not subject.is_batched:
        raise NotApplicable("the first size of at least one tensor is fixed")
    is_batch_of_two(subject, inferred(subject.post(subject.document(batch=2))))


@topic.required(
    "key-order",
    "The order of the keys in a request does not matter",
    f'{JSON} section 1: "An object is an unordered collection of zero or more name/value pairs"',
)
def key_order(subject: Subject) -> None:
    document = subject.document(id="7")
    inputs = [dict(reversed(entry.items())) for entry in document["inputs"]]
    subject.same(subject.post(dict(reversed((document | {"inputs": inputs}).items()))))


@topic.expected(
    "no-content-type",
    "A request without Content-Type is accepted",
    f"{TRITONCLIENT}: sends no Content-Type",
)
def no_content_type(subject: Subject) -> None:
    subject.same(subject.post(subject.document(), {"Content-Type": None}))


@topic.expected(
    "content-type-charset",
    "Content-Type may have a charset",
    "Clients that add it by default, such as axios and Java's: application/json; charset=utf-8",
)
def content_type_charset(subject: Subject) -> None:
    subject.same(subject.post(subject.document(), {"Content-Type": "application/json; charset=utf-8"}))


@topic.expected(
    "integers-for-floats",
    "Integers are accepted for floating-point inputs",
    f"{JSON} section 6: JSON has one kind of number, and JavaScript writes 1.0 as 1",
)
def integers_for_floats(subject: Subject) -> None:
    document = subject.document()
    floats = [entry for entry in document["inputs"] if entry["datatype"] in ("FP32", "FP64")]
    if not floats:
        raise NotApplicable("the model has no floating-point input")
    for entry in floats:
        entry["data"] = [int(each) for each in entry["data"]]
    subject.same(subject.post(document))


@topic.expected(
    "unknown-parameter",
    "An unknown parameter is ignored",
    f'{REST}, Parameters: "A server can implement server-specific parameters to provide non-standard capabilities." A '
    "client that sends another server's should still be answered",
)
def unknown_parameter(subject: Subject) -> None:
    subject.same(subject.post(subject.document(parameters={"conformance_unknown": 1})))


@topic.expected(
    "unknown-key",
    "An unknown key at the top level is ignored",
    'Triton extension_binary_data.md, Examples: the request has "model_name", which is not in the protocol\'s schema',
)
def unknown_key(subject: Subject) -> None:
    subject.same(subject.post(subject.document(model_name=subject.model)))


def is_batch_of_two(subject: Subject, result: Inferred) -> None:
    """Check that an answer contains the golden answer twice.

    Raises:
        Deviation: it does not.
    """
    assert subject.golden is not None
    for name, golden in subject.golden.outputs.items():
        output = result.outputs.get(name)
        expected = (2, *golden.values.shape[1:])
        if output is None or output.values.shape != expected:
            raise Deviation(f"{name!r} of shape {list(expected)}", f"{list(output.values.shape) if output else 'none'}")
        both = np.concatenate([golden.values, golden.values])
        if subject.is_repeatable and not tensors.are_equal(output.values, both):
            raise Deviation(f"both of {name!r} as in the golden answer", "other values")


def _echoes(subject: Subject, id_: str) -> None:
    found: Any = inferred(subject.post(subject.document(id=id_))).document.get("id")
    if found != id_:
        raise Deviation(f"the id {id_!r}", f"{found!r:.60}")


def _has_outputs(result: Inferred, names: set[str]) -> None:
    if set(result.outputs) != names:
        raise Deviation(f"the outputs {sorted(names)}", f"{sorted(result.outputs)}")


def _fits(shape: tuple[int, ...], declared: tuple[int, ...]) -> bool:
    return len(shape) == len(declared) and all(
        open_ < 0 or size == open_ for size, open_ in zip(shape, declared, strict=True)
    )
