"""Checks of answers that several cases share."""

from collections.abc import Callable, Mapping
from typing import Any

from oip_conformance.answer import Answer, NoAnswer
from oip_conformance.deviation import Deviation, NotApplicable
from oip_conformance.inferred import json_object

_REFUSAL = 'an error status (typically 400) with {"error": "…"}'


def refused(answer: Answer) -> str:
    """Check that an answer is the protocol's error; return its text.

    Raises:
        Deviation: it does not conform.
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
    """Check that an answer has an error status, with any body; return its text.

    Raises:
        Deviation: the status is another.
    """
    if answer.status < 400:
        raise Deviation("an error status", answer.found)
    return answer.found


def never_5xx(asked: Mapping[str, Callable[[], Answer]]) -> None:
    """Check that no request is answered 5xx. Requests without an answer do not count.

    Args:
        asked: functions that send the requests, by id.

    Raises:
        Deviation: at least one answer is 5xx.
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
    """Check that an answer has one of the statuses, with any body; return its text.

    Raises:
        Deviation: the status is another.
    """
    if answer.status not in statuses:
        raise Deviation(f"status {' or '.join(map(str, statuses))}", answer.found)
    return answer.found


def succeeded(answer: Answer) -> str:
    """Check that an answer has status 200; return its text.

    Raises:
        Deviation: the status is another.
    """
    return refused_with(answer, 200)


def document_of(answer: Answer) -> dict[str, Any]:
    """Check that an answer has status 200 and a JSON object; return the object.

    Raises:
        Deviation: it does not conform.
    """
    succeeded(answer)
    return json_object(answer.body)


def has(document: dict[str, Any], key: str, kind: type, what: str) -> Any:
    """Check that a key has a value of a type; return the value.

    Raises:
        Deviation: the key is missing or its value has another type.
    """
    value = document.get(key)
    if type(value) is not kind:
        raise Deviation(f"{key!r}, {what}", f"{value!r:.60}" if key in document else "none")
    return value


def listed(value: Any, kind: type, what: str) -> list[Any]:
    """Check that a value is a list of one type; return it.

    Raises:
        Deviation: it does not conform.
    """
    if not isinstance(value, list) or not all(type(each) is kind for each in value):
        raise Deviation(what, f"{value!r:.60}")
    return value
