"""Malformed requests in JSON: each is refused with the protocol's error and status 4xx."""

from functools import partial

from oip_conformance.answer import Answer, NoAnswer
from oip_conformance.case import Ask, Topic
from oip_conformance.cases.malformed_requests import HAZARDS, MALFORMED, Malformed
from oip_conformance.deviation import Deviation, NotApplicable
from oip_conformance.expecting import never_5xx, refused, refused_somehow
from oip_conformance.sources import HTTP
from oip_conformance.subject import Subject

topic = Topic("Malformed requests in JSON")
hazards = Topic("Requests that may end a server")

_LEAKS = ("Traceback", "site-packages", 'File "', "object at 0x")


def _refusal_of(request: Malformed) -> Ask:
    check = refused if request.level == "required" else refused_somehow

    return lambda subject: check(_sent(request, subject))


def _sent(request: Malformed, subject: Subject) -> Answer:
    return subject.post(request.write(subject))


for _each in MALFORMED:
    topic.case(_each.id, _each.title, _each.source, level=_each.level)(_refusal_of(_each))
for _each in HAZARDS:
    hazards.case(_each.id, _each.title, _each.source, level=_each.level)(_refusal_of(_each))


@topic.expected(
    "malformed-4xx",
    "None of these requests is answered 5xx",
    f'{HTTP} section 15.5: "The 4xx (Client Error) class of status code indicates that the client seems to have '
    'erred." Clients retry after 5xx, and alerts count it',
)
def malformed_4xx(subject: Subject) -> None:
    never_5xx({each.id: partial(_sent, each, subject) for each in MALFORMED})


@topic.expected(
    "error-text",
    "Errors reveal no internals of the server",
    "Safe behaviour: no traceback, source file or memory address reaches a client (CWE-209)",
)
def error_text(subject: Subject) -> None:
    for request in MALFORMED:
        try:
            text = _sent(request, subject).body.decode(errors="replace")
        except (NotApplicable, NoAnswer):
            continue
        leaks = [leak for leak in _LEAKS if leak in text]
        if leaks:
            raise Deviation("none", f"{leaks[0]!r} in the answer to {request.id}")
