"""Triton's model repository and schedule policy extensions. No case loads or unloads a model."""

from typing import Any

from oip_conformance.answer import Answer, strict_json
from oip_conformance.case import Topic
from oip_conformance.deviation import Deviation
from oip_conformance.expecting import has, listed, refused, succeeded
from oip_conformance.sources import REPOSITORY, SCHEDULING, TRITONCLIENT
from oip_conformance.subject import Subject

topic = Topic("Model repository", "model_repository")
scheduling = Topic("Schedule policy", "schedule_policy")

_INDEX = "/v2/repository/index"
_SOURCE = f'{REPOSITORY}: "The index API returns information about every model available in a model repository"'


@topic.extended("index", "POST /v2/repository/index lists the models, each with name, state and reason", _SOURCE)
def index(subject: Subject) -> str:
    entries = _entries(subject.post({}, path=_INDEX))
    for entry in entries:
        has(entry, "name", str, "a string")
        for key in ("version", "state", "reason"):
            if not isinstance(entry.get(key, ""), str):
                raise Deviation(f"{key}, a string", f"{entry[key]!r:.60}")
    _is_listed(subject, entries)
    return f"{len(entries)} models"


@topic.extended(
    "index-ready",
    'POST /v2/repository/index with {"ready": true} lists only ready models',
    f'{REPOSITORY}: "If true return only models ready for inferencing."',
)
def index_ready(subject: Subject) -> None:
    entries = _entries(subject.post({"ready": True}, path=_INDEX))
    _is_listed(subject, entries)
    others = [entry for entry in entries if entry.get("state", "READY") != "READY"]
    if others:
        raise Deviation("ready ones only", f"{others[0]!r:.60}")


@topic.expected(
    "index-empty-body",
    "An empty body lists all models",
    f"{TRITONCLIENT}.get_model_repository_index: sends an empty body",
)
def index_empty_body(subject: Subject) -> None:
    _is_listed(subject, _entries(subject.post(b"", {"Content-Type": None}, path=_INDEX)))


@topic.extended(
    "load-unknown",
    "Loading a model that is not in the repository is refused with an error",
    f'{REPOSITORY}: "A failed load request must be indicated by an HTTP error status (typically 400). The HTTP body '
    'must contain the $repository_load_error_response object."',
)
def load_unknown(subject: Subject) -> str:
    return refused(subject.post({}, path="/v2/repository/models/no-such-model-9f2c/load"))


@scheduling.extended(
    "timeout",
    "A request may have a timeout in microseconds and a priority",
    f'{SCHEDULING}: ""timeout" : int64 value indicating the timeout value for the request, in microseconds."',
)
def timeout(subject: Subject) -> None:
    subject.same(subject.post(subject.document(parameters={"timeout": 60_000_000, "priority": 0})))


def _entries(answer: Answer) -> list[dict[str, Any]]:
    succeeded(answer)
    entries: list[dict[str, Any]] = listed(strict_json(answer.body), dict, "a list of objects")
    return entries


def _is_listed(subject: Subject, entries: list[dict[str, Any]]) -> None:
    if not any(entry.get("name") == subject.model for entry in entries):
        raise Deviation(f"an entry of {subject.model!r}", f"{[entry.get('name') for entry in entries]!r:.60}")
