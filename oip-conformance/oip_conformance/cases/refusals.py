"""Requests for unknown models, versions and paths."""

from oip_conformance.answer import Answer
from oip_conformance.case import Topic
from oip_conformance.deviation import Deviation, NotApplicable
from oip_conformance.expecting import refused, refused_with
from oip_conformance.sources import FAILED, HTTP, REST, TRITONCLIENT
from oip_conformance.subject import Subject

topic = Topic("Unknown models, versions and paths")

_UNKNOWN = "/v2/models/no-such-model-9f2c"
_METADATA_FAILED = (
    f'{REST}, Model Metadata Response JSON Error Object: "A failed model metadata request must be indicated by an HTTP '
    'error status (typically 400). The HTTP body must contain the $metadata_model_error_response object."'
)
_NOT_FOUND = (
    f'{HTTP} section 15.5.5: "The 404 (Not Found) status code indicates that the origin server did not find a current '
    'representation for the target resource"'
)


@topic.required("unknown-model-metadata", "Metadata of an unknown model are refused with an error", _METADATA_FAILED)
def unknown_model_metadata(subject: Subject) -> str:
    return refused(subject.get(_UNKNOWN))


@topic.required(
    "unknown-version-metadata", "Metadata of an unknown version are refused with an error", _METADATA_FAILED
)
def unknown_version_metadata(subject: Subject) -> str:
    _has_versions(subject)
    return refused(subject.get(f"{subject.path}/versions/987654"))


@topic.required("unknown-model-infer", "Inference by an unknown model is refused with an error", FAILED)
def unknown_model_infer(subject: Subject) -> str:
    return refused(_infer_elsewhere(subject))


@topic.required("unknown-version-infer", "Inference by an unknown version is refused with an error", FAILED)
def unknown_version_infer(subject: Subject) -> str:
    _has_versions(subject)
    return refused(subject.post(subject.document(), path=f"{subject.path}/versions/987654/infer"))


@topic.required(
    "unknown-model-ready",
    "An unknown model is not ready",
    f'{REST}, API Definitions: "The “model ready” health API indicates if a specific model is ready for inferencing."',
)
def unknown_model_ready(subject: Subject) -> str:
    answer = subject.get(f"{_UNKNOWN}/ready")
    if answer.status < 400:
        raise Deviation("an error status", answer.found)
    return answer.found


@topic.expected("unknown-model-404", "All paths of an unknown model answer 404", _NOT_FOUND)
def unknown_model_404(subject: Subject) -> None:
    for what, answer in (
        ("metadata", subject.get(_UNKNOWN)),
        ("ready", subject.get(f"{_UNKNOWN}/ready")),
        ("infer", _infer_elsewhere(subject)),
    ):
        if answer.status != 404:
            raise Deviation("status 404", f"{answer.found} for {what}")


@topic.expected("unknown-version-404", "An unknown version answers 404", _NOT_FOUND)
def unknown_version_404(subject: Subject) -> None:
    _has_versions(subject)
    for version in ("987654", "no-such-version"):
        answer = subject.get(f"{subject.path}/versions/{version}")
        if answer.status != 404:
            raise Deviation("status 404", f"{answer.found} for {version!r}")


@topic.expected("unknown-path-404", "A path that the protocol does not have answers 404", _NOT_FOUND)
def unknown_path_404(subject: Subject) -> str:
    return refused_with(subject.get("/v2/no-such-path-9f2c"), 404)


@topic.expected(
    "unknown-path-error",
    "A path that the protocol does not have answers with the protocol's error",
    f'{TRITONCLIENT}: reads error_response["error"] of every answer that is not 200; {{"detail": …}} raises',
)
def unknown_path_error(subject: Subject) -> str:
    return refused(subject.get("/v2/no-such-path-9f2c"))


@topic.expected(
    "error-media-type",
    "Errors are application/json",
    "OIP v2 open_inference_rest.yaml, …/infer, responses, '400': content: application/json",
)
def error_media_type(subject: Subject) -> None:
    for answer in (subject.get(_UNKNOWN), _infer_elsewhere(subject), subject.post(b"not JSON")):
        if answer.media_type != "application/json":
            raise Deviation("Content-Type: application/json", f"{answer.headers.get('content-type')!r:.60}")


@topic.expected(
    "path-traversal",
    "A model name with ../ does not leave the model repository",
    "Safe behaviour: models are looked up by name, not by path (CWE-22)",
)
def path_traversal(subject: Subject) -> str:
    answer = subject.get("/v2/models/..%2f..%2f..%2f..%2fetc%2fpasswd/ready")
    if not 400 <= answer.status < 500 or b"root:" in answer.body:
        raise Deviation("an error of the client, 4xx", answer.found)
    return answer.found


def _infer_elsewhere(subject: Subject) -> Answer:
    return subject.post(subject.document(), path=f"{_UNKNOWN}/infer")


def _has_versions(subject: Subject) -> None:
    if subject.version is None:
        raise NotApplicable("the server declares no version of the model")
