"""Health and metadata of the server and its model."""

from typing import Any
from urllib.parse import quote

from oip_conformance import tensors
from oip_conformance.case import Topic
from oip_conformance.deviation import Deviation, NotApplicable
from oip_conformance.expecting import document_of, has, listed, succeeded
from oip_conformance.sources import KSERVE, REST, YAML
from oip_conformance.subject import Subject

topic = Topic("Health and metadata")

_LIVE = "/v2/health/live"
_READY = "/v2/health/ready"


@topic.required(
    "live",
    "GET /v2/health/live answers 200 while the server is live",
    f'{YAML}, /v2/health/live: "The “server live” API indicates if the inference server is able to receive and respond '
    'to metadata and inference requests."',
)
def live(subject: Subject) -> str:
    return succeeded(subject.get(_LIVE))


@topic.required(
    "ready",
    "GET /v2/health/ready answers 200 when the server is ready",
    f'{YAML}, /v2/health/ready: "The “server ready” health API indicates if all the models are ready for inferencing."',
)
def ready(subject: Subject) -> str:
    return succeeded(subject.get(_READY))


@topic.required(
    "model-ready",
    "GET /v2/models/M/ready answers 200 when the model is ready",
    f'{REST}, API Definitions: "The “model ready” health API indicates if a specific model is ready for inferencing."',
)
def model_ready(subject: Subject) -> str:
    return succeeded(subject.get(f"{subject.path}/ready"))


@topic.required(
    "model-ready-version",
    "GET /v2/models/M/versions/V/ready answers 200 when that version is ready",
    f'{REST}, API Definitions: "The model name and (optionally) version must be available in the URL."',
)
def model_ready_version(subject: Subject) -> str:
    return succeeded(subject.get(f"{subject.versioned}/ready"))


@topic.expected(
    "live-body",
    'GET /v2/health/live answers {"live": true}',
    f"{KSERVE}.is_server_live: returns response.json().get('live'), and raises where the body is empty; "
    f"so has {REST}, $live_server_response",
)
def live_body(subject: Subject) -> None:
    _is_true(document_of(subject.get(_LIVE)), "live")


@topic.expected(
    "ready-body",
    'GET /v2/health/ready answers {"ready": true}',
    f"{KSERVE}.is_server_ready: returns response.json().get('ready'), and raises where the body is empty",
)
def ready_body(subject: Subject) -> None:
    _is_true(document_of(subject.get(_READY)), "ready")


@topic.expected(
    "model-ready-body",
    'GET /v2/models/M/ready answers {"name": M, "ready": true}',
    f'{REST}, Model Ready: "The model ready endpoint returns the readiness probe response for the server along with '
    'the name of the model." The OpenAPI document requires no body',
)
def model_ready_body(subject: Subject) -> None:
    document = document_of(subject.get(f"{subject.path}/ready"))
    _is_named(document, subject)
    _is_true(document, "ready")


@topic.required(
    "server-metadata",
    "GET /v2 answers name, version and a list of extensions",
    f'{REST}, Server Metadata Response JSON Object: "“extensions” : The extensions supported by the server."; '
    f"{YAML}, metadata_server_response, required: name, version, extensions",
)
def server_metadata(subject: Subject) -> str:
    document = document_of(subject.get("/v2"))
    has(document, "name", str, "a string")
    has(document, "version", str, "a string")
    listed(document.get("extensions"), str, "extensions, a list of strings")
    return subject.server


@topic.required(
    "metadata-media-type",
    "Metadata are application/json",
    f"{YAML}, /v2/ and /v2/models/…, responses, '200': content: application/json",
)
def metadata_media_type(subject: Subject) -> None:
    for path in ("/v2", subject.path):
        answer = subject.get(path)
        if answer.media_type != "application/json":
            raise Deviation("Content-Type: application/json", f"{answer.headers.get('content-type')!r:.60} at {path}")


@topic.required(
    "model-metadata",
    "GET /v2/models/M answers name, platform, inputs and outputs",
    f'{REST}, Model Metadata Response JSON Object: "“platform” : The framework/backend for the model."; "“inputs” : '
    'The inputs required by the model."',
)
def model_metadata(subject: Subject) -> str:
    return _metadata(subject.path, subject)["platform"] or "an empty platform"


@topic.required(
    "model-metadata-version",
    "GET /v2/models/M/versions/V answers the same of that version",
    f"{YAML}, paths: /v2/models/${{MODEL_NAME}}/versions/${{MODEL_VERSION}}",
)
def model_metadata_version(subject: Subject) -> None:
    _metadata(subject.versioned, subject)


@topic.required(
    "metadata-tensors",
    "Inputs and outputs have a name, a datatype of the table and a shape with -1 for variable sizes",
    f'{REST}, Model Metadata Response JSON Object: "Variable-size dimensions are specified as -1."',
)
def metadata_tensors(subject: Subject) -> None:
    document = document_of(subject.get(subject.path))
    for key in ("inputs", "outputs"):
        for tensor in listed(document.get(key), dict, f"{key}, a list of objects"):
            name = has(tensor, "name", str, "a string")
            if tensor.get("datatype") not in tensors.DTYPES:
                raise Deviation(f"a datatype of the table for {name!r}", f"{tensor.get('datatype')!r:.40}")
            if any(size < -1 for size in listed(tensor.get("shape"), int, f"a shape of integers for {name!r}")):
                raise Deviation(f"no size below -1 for {name!r}", f"{tensor['shape']!r:.60}")


@topic.required(
    "metadata-versions",
    "Every version in the metadata can be requested",
    f'{REST}, Model Metadata Response JSON Object: "The model versions that may be explicitly requested via the '
    'appropriate endpoint."',
)
def metadata_versions(subject: Subject) -> str:
    versions = document_of(subject.get(subject.path)).get("versions")
    if versions is None:
        raise NotApplicable("the metadata list no versions")
    for version in listed(versions, str, "versions, a list of strings"):
        succeeded(subject.get(f"{subject.path}/versions/" + quote(version, safe="", errors="replace")))
    return f"{len(versions)} versions"


def _metadata(path: str, subject: Subject) -> dict[str, Any]:
    document = document_of(subject.get(path))
    _is_named(document, subject)
    has(document, "platform", str, "a string")
    for key in ("inputs", "outputs"):
        listed(document.get(key), dict, f"{key}, a list of objects")
    return document


def _is_named(document: dict[str, Any], subject: Subject) -> None:
    if document.get("name") != subject.model:
        raise Deviation(f"the name {subject.model!r}", f"{document.get('name')!r:.60}")


def _is_true(document: dict[str, Any], key: str) -> None:
    if document.get(key) is not True:
        raise Deviation(f'"{key}": true', f"{document!r:.60}")
