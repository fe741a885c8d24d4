"""Malformed requests in JSON: each is refused with the protocol's error, and as the client's fault."""

from edgecnn.conformance.answer import NoAnswer
from edgecnn.conformance.case import Ask, Deviation, NotApplicable, Topic
from edgecnn.conformance.cases.malformed_requests import HAZARDS, MALFORMED, Malformed
from edgecnn.conformance.expecting import refused, refused_somehow
from edgecnn.conformance.sources import HTTP
from edgecnn.conformance.subject import Subject

topic = Topic("Malformed requests in JSON")
hazards = Topic("Requests that may end a server")

_LEAKS = ("Traceback", "site-packages", 'File "', "object at 0x")


def _refusal_of(request: Malformed) -> Ask:
    check = refused if request.level == "required" else refused_somehow

    def ask(subject: Subject) -> str:
        return check(subject.post(request.write(subject)))

    return ask


for _each in MALFORMED:
    topic.case(_each.id, _each.title, _each.source, level=_each.level)(_refusal_of(_each))
for _each in HAZARDS:
    hazards.case(_each.id, _each.title, _each.source, level=_each.level)(_refusal_of(_each))


@topic.expected(
    "malformed-4xx",
    "None of these is called the server's fault",
    f'{HTTP} section 15.5: "The 4xx (Client Error) class of status code indicates that the client seems to have '
    'erred." Clients repeat what got 5xx, and alarms count it',
)
def malformed_4xx(subject: Subject) -> None:
    faults: list[str] = []
    for request in MALFORMED:
        try:
            status = subject.post(request.write(subject)).status
        except (NotApplicable, NoAnswer):
            continue
        if status >= 500:
            faults.append(f"{status} for {request.id}")
    if faults:
        raise Deviation("4xx for each", ", ".join(faults))


@topic.expected(
    "error-text",
    "An error says nothing of the server's inside",
    "Safe behaviour: no traceback, source file or address of memory reaches a client (CWE-209)",
)
def error_text(subject: Subject) -> None:
    for request in MALFORMED:
        try:
            text = subject.post(request.write(subject)).body.decode(errors="replace")
        except (NotApplicable, NoAnswer):
            continue
        leaks = [leak for leak in _LEAKS if leak in text]
        if leaks:
            raise Deviation("none", f"{leaks[0]!r} in the answer to {request.id}")
