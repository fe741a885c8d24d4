"""What cases expect of answers, in one wording each."""

from collections.abc import Callable, Mapping
from typing import Any

from oip_conformance.answer import Answer, NoAnswer
from oip_conformance.deviation import Deviation, NotApplicable
from oip_conformance.inferred import json_object

_REFUSAL = 'an error status (typically 400) with {"error": "…"}'


def refused(answer: Answer) -> str:
    """Expect the protocol's error; returns what came.

    Raises:
        Deviation: it is something else.
    """
    if answer.status < 400:
        raise Deviation(_REFUSAL, answer.found)
    try:
        text = json_object(answer.body).get("error")
    except Deviation:
        text = None
    if not isinstance(text, str) or not text:
        raise Deviation(_REFUSAL, answer.found)
    return answer.found


def refused_somehow(answer: Answer) -> str:
    """Expect an error status, whatever the body: for cases that are not about the form of errors.

    Raises:
        Deviation: it is another.
    """
    if answer.status < 400:
        raise Deviation("an error status", answer.found)
    return answer.found


def never_the_servers_fault(asked: Mapping[str, Callable[[], Answer]]) -> None:
    """Expect no status of 500 or above, whichever of some requests is sent; those without an answer do not count.

    Args:
        asked: what sends each, by its id.

    Raises:
        Deviation: some are answered with one.
    """
    faults: list[str] = []
    for name, send in asked.items():
        try:
            status = send().status
        except (NotApplicable, NoAnswer):
            continue
        if status >= 500:
            faults.append(f"{status} for {name}")
    if faults:
        raise Deviation("4xx for each", ", ".join(faults))


def refused_with(answer: Answer, *statuses: int) -> str:
    """Expect one of some statuses, whatever the body.

    Raises:
        Deviation: it is another.
    """
    if answer.status not in statuses:
        raise Deviation(f"status {' or '.join(map(str, statuses))}", answer.found)
    return answer.found


def succeeded(answer: Answer) -> str:
    """Expect status 200.

    Raises:
        Deviation: it is another.
    """
    return refused_with(answer, 200)


def document_of(answer: Answer) -> dict[str, Any]:
    """Expect status 200 and a JSON object; returns the object.

    Raises:
        Deviation: it is something else.
    """
    succeeded(answer)
    return json_object(answer.body)


def has(document: dict[str, Any], key: str, kind: type, what: str) -> Any:
    """Expect a key with a value of some type; returns the value.

    Raises:
        Deviation: it is missing, or something else.
    """
    value = document.get(key)
    if type(value) is not kind:
        raise Deviation(f"{key!r}, {what}", f"{value!r:.60}" if key in document else "none")
    return value


def listed(value: Any, kind: type, what: str) -> list[Any]:
    """Expect a list of one type; returns it.

    Raises:
        Deviation: it is something else.
    """
    if not isinstance(value, list) or not all(type(each) is kind for each in value):
        raise Deviation(what, f"{value!r:.60}")
    return value
