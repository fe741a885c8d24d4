"""Triton's classification extension: the classes with the highest scores instead of all scores."""

import re
from typing import Any

import numpy as np

from oip_conformance.answer import Answer
from oip_conformance.case import Topic
from oip_conformance.deviation import Deviation, NotApplicable
from oip_conformance.expecting import refused_somehow
from oip_conformance.inferred import Output, inferred
from oip_conformance.sources import CLASSIFICATION
from oip_conformance.subject import Subject

topic = Topic("Classification", "classification")

_FORMAT = f'{CLASSIFICATION}: "The format of the returned string will be “<value>:<index>[:<label>]”"'
_ENTRY = re.compile(r"([^:]+):(\d{1,9})(?::.*)?", re.DOTALL)


@topic.extended(
    "classes",
    "The requested number of classes is returned as BYTES",
    f'{CLASSIFICATION}: "will instead be type BYTES with shape [ batch-size, <count> ]"',
)
def classes(subject: Subject) -> str:
    count = min(2, _scores(subject).size)
    found = _classes(subject, _ask(subject, count), count)
    return ", ".join(repr(each)[:40] for each in found)


@topic.extended("classes-format", "Each class is value:index or value:index:label", _FORMAT)
def classes_format(subject: Subject) -> None:
    scores = _scores(subject)
    for value, index in _pairs(_classes(subject, _ask(subject, 1), 1)):
        if index >= scores.size or not np.isclose(value, scores[index], rtol=1e-3, atol=1e-3):
            raise Deviation("the value at that index in the golden answer", f"{value} at {index}")


@topic.extended(
    "classes-order",
    "The highest values come first",
    f'{CLASSIFICATION}: "Triton will determine the top-n classifications as the n highest-valued elements in the '
    'output tensor"',
)
def classes_order(subject: Subject) -> None:
    scores = _scores(subject)
    count = min(5, scores.size)
    values = [value for value, _ in _pairs(_classes(subject, _ask(subject, count), count))]
    best = np.sort(scores.astype(float))[::-1][:count]
    if not np.allclose(values, best, rtol=1e-3, atol=1e-3):
        raise Deviation(f"the values {[round(float(each), 4) for each in best]}", f"{values}")


@topic.extended(
    "classes-batch",
    "Each item of a batch has its own classes",
    f'{CLASSIFICATION}: "will instead be type BYTES with shape [ batch-size, <count> ]"',
)
def classes_batch(subject: Subject) -> None:
    _scores(subject)
    if not subject.is_batched:
        raise NotApplicable("the first size of at least one tensor is fixed")
    output = _output(subject, subject.post(subject.document(batch=2, outputs=_wanted(subject, 1))))
    if output.values.shape != (2, 1):
        raise Deviation("shape [2, 1]", f"{list(output.values.shape)}")


@topic.extended(
    "classes-binary",
    "Classes may be returned raw",
    'Triton extension_binary_data.md: "For BYTES type an element is represented by a 4-byte unsigned integer giving '
    'the length followed by the actual bytes."',
)
def classes_binary(subject: Subject) -> None:
    if "binary_tensor_data" not in subject.extensions:
        raise NotApplicable("the server does not list binary_tensor_data")
    _scores(subject)
    output = _output(subject, _ask(subject, 1, binary_data=True))
    if not output.is_binary:
        raise Deviation("a raw output with binary_data_size", "an output in JSON")
    _pairs([each.decode(errors="replace") for each in output.values.ravel()])


@topic.expected(
    "classes-all",
    "A request for more classes than the model has returns all classes",
    "Triton 2.51, and clients that ask for five: a model with two classes answers two",
)
def classes_all(subject: Subject) -> None:
    count = _scores(subject).size
    _classes(subject, _ask(subject, count + 89), count)


@topic.expected(
    "classes-malformed",
    "An invalid number of classes is refused",
    f'{CLASSIFICATION}: "$number indicating the number of classes that should be returned for the output"',
)
def classes_malformed(subject: Subject) -> str:
    _scores(subject)
    refused_somehow(_ask(subject, -1))
    return refused_somehow(_ask(subject, "many"))


def _scores(subject: Subject) -> np.ndarray:
    """Return the scores in the first output of the golden answer.

    Raises:
        NotApplicable: the first output is not one row of scores.
    """
    assert subject.golden is not None
    golden = subject.golden.outputs.get(subject.outputs[0].name)
    if not subject.has_json or golden is None or golden.datatype in ("BYTES", "BOOL") or not golden.values.size:
        raise NotApplicable("the first output holds no numbers")
    if golden.values.shape[0] != 1 or golden.values.ndim != 2:
        raise NotApplicable("the first output is not one row of numbers")
    if not subject.is_repeatable:
        raise NotApplicable("the model answers the same request differently each time")
    return golden.values.ravel()


def _wanted(subject: Subject, count: Any, **parameters: Any) -> list[dict[str, Any]]:
    return [{"name": subject.outputs[0].name, "parameters": {"classification": count} | parameters}]


def _ask(subject: Subject, count: Any, **parameters: Any) -> Answer:
    return subject.post(subject.document(outputs=_wanted(subject, count, **parameters)))


def _output(subject: Subject, answer: Answer) -> Output:
    name = subject.outputs[0].name
    output = inferred(answer).outputs.get(name)
    if output is None or output.datatype != "BYTES":
        raise Deviation(f"{name!r} as BYTES", output.datatype if output else "no such output")
    return output


def _classes(subject: Subject, answer: Answer, count: int) -> list[str]:
    output = _output(subject, answer)
    if output.values.shape != (1, count):
        raise Deviation(f"shape [1, {count}]", f"{list(output.values.shape)}")
    return [each.decode(errors="replace") for each in output.values.ravel()]


def _pairs(entries: list[str]) -> list[tuple[float, int]]:
    pairs = []
    for entry in entries:
        match = _ENTRY.fullmatch(entry)
        try:
            value = float(match[1]) if match else None
        except ValueError:
            value = None
        if match is None or value is None:
            raise Deviation("value:index[:label]", f"{entry!r:.60}")
        pairs.append((value, int(match[2])))
    return pairs
