"""Tests of the JSON schema: round trips, and errors with their location."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecnn.files import schema
from edgecnn.files.schema import SchemaError


@dataclass(frozen=True)
class Engine:
    name: str
    threads: int
    version: str | None = None


@dataclass(frozen=True)
class Record:
    name: str
    count: int
    share: float
    sealed: bool
    kind: Literal["fp32", "int8"]
    size: tuple[int, int]
    labels: tuple[str, ...]
    engine: Engine | None
    files: dict[str, Engine]
    engines: tuple[Engine, ...] = ()
    annotations: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Positive:
    value: int

    def __post_init__(self) -> None:
        if self.value < 1:
            raise ValueError(f"value must be positive, found {self.value}")


@dataclass(frozen=True)
class Holder:
    inner: Positive


RECORD = Record(
    name="größe",
    count=3,
    share=0.5,
    sealed=True,
    kind="int8",
    size=(32, 24),
    labels=("cat", "dog"),
    engine=Engine("onnxruntime", 2, "1.29"),
    files={"a.onnx": Engine("a", 1)},
    engines=(Engine("a", 1), Engine("b", 2)),
    annotations={"site": {"hall": [1, 2.5, None, True]}},
)


def document(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = schema.plain(RECORD)
    return plain | changes


def refused(text: str | bytes, cls: type = Record) -> str:
    """Return the error message for a text, which is always one line."""
    with pytest.raises(SchemaError) as raised:
        schema.parse(cls, text)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_dump_and_parse_are_inverse():
    assert schema.parse(Record, schema.dump(RECORD)) == RECORD
    assert schema.parse(Record, schema.dump(RECORD).encode()) == RECORD


def test_dump_keeps_the_order_of_fields():
    text = schema.dump(RECORD)
    assert list(json.loads(text))[:3] == ["name", "count", "share"]
    assert text.endswith("}\n")
    assert "größe" in text


def test_dump_rejects_non_finite_numbers():
    with pytest.raises(ValueError, match="JSON"):
        schema.dump(Record(**(vars(RECORD) | {"share": float("nan")})))


def test_accepts_missing_keys_with_a_default():
    shorter = document()
    del shorter["engines"], shorter["annotations"], shorter["engine"]["version"]
    record = schema.parse(Record, json.dumps(shorter))
    assert record.engines == ()
    assert record.annotations == {}
    assert record.engine == Engine("onnxruntime", 2)


def test_accepts_an_integer_as_a_float():
    share = schema.parse(Record, json.dumps(document(share=1))).share
    assert share == 1
    assert type(share) is float


texts = st.text(max_size=10)
numbers = st.floats(allow_nan=False, allow_infinity=False)
engine_values = st.builds(Engine, name=texts, threads=st.integers(), version=st.none() | texts)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
records = st.builds(
    Record,
    name=texts,
    count=st.integers(),
    share=numbers,
    sealed=st.booleans(),
    kind=st.sampled_from(["fp32", "int8"]),
    size=st.tuples(st.integers(), st.integers()),
    labels=st.lists(texts, max_size=3).map(tuple),
    engine=st.none() | engine_values,
    files=st.dictionaries(texts, engine_values, max_size=3),
    engines=st.lists(engine_values, max_size=3).map(tuple),
    annotations=st.dictionaries(texts, anything, max_size=3),
)


@given(records)
def test_dump_and_parse_any_record(record: Record):
    assert schema.parse(Record, schema.dump(record)) == record


MISMATCHES: dict[str, tuple[dict[str, Any], str]] = {
    "number for a string": ({"name": 5}, "name: expected a string, found 5"),
    "string for a number": ({"count": "3"}, 'count: expected a whole number, found "3"'),
    "boolean for a number": ({"count": True}, "count: expected a whole number, found true"),
    "float for an integer": ({"count": 3.0}, "count: expected a whole number, found 3.0"),
    "boolean for a float": ({"share": False}, "share: expected a number, found false"),
    "integer beyond float": ({"share": 2**53 + 1}, "share: expected a number"),
    "number for a boolean": ({"sealed": 1}, "sealed: expected true or false, found 1"),
    "null for a required value": ({"name": None}, "name: expected a string, found null"),
    "value not in the choice": ({"kind": "int4"}, "kind: expected one of 'fp32', 'int8', found \"int4\""),
    "list for a choice": ({"kind": ["int8"]}, "kind: expected one of"),
    "list too short": ({"size": [1]}, "size: expected a list of 2, found [1]"),
    "list too long": ({"size": [1, 2, 3]}, "size: expected a list of 2, found [1, 2, 3]"),
    "string for a list": ({"labels": "cat"}, 'labels: expected a list, found "cat"'),
    "wrong item": ({"labels": ["cat", 4]}, "labels[1]: expected a string, found 4"),
    "wrong item of a pair": ({"size": [1, "2"]}, 'size[1]: expected a whole number, found "2"'),
    "list for an object": ({"engine": []}, "engine: expected an object, found []"),
    "list for a mapping": ({"files": []}, "files: expected an object, found []"),
    "fault in a mapping": ({"files": {"a.b": 7}}, "files['a.b']: expected an object, found 7"),
    "fault at a key with a newline": ({"files": {"a\nb": 7}}, "files['a\\nb']: expected an object"),
    "nested fault": ({"engines": [{"name": "a", "threads": "x"}]}, "engines[0].threads: expected a whole"),
    "unknown key": ({"surprise": 1}, "unknown key 'surprise'"),
    "nested unknown key": ({"engine": {"name": "a", "threads": 1, "gpu": 0}}, "unknown key 'engine.gpu'"),
    "nested missing key": ({"engines": [{"name": "a"}]}, "missing key 'engines[0].threads'"),
}


@pytest.mark.parametrize("fault", MISMATCHES)
def test_rejects_a_value_of_another_type(fault: str):
    changes, named = MISMATCHES[fault]
    assert named in refused(json.dumps(document(**changes)))


@pytest.mark.parametrize("key", ["name", "count", "share", "sealed", "kind", "size", "labels", "engine", "files"])
def test_rejects_a_missing_key(key: str):
    shorter = document()
    del shorter[key]
    assert f"missing key '{key}'" in refused(json.dumps(shorter))


@pytest.mark.parametrize("text", ["[]", "3", '"x"', "null", "true"])
def test_rejects_a_document_without_an_object(text: str):
    assert refused(text) == f"the document: expected an object, found {text}"


def test_rejects_a_duplicate_key():
    assert "duplicate key 'threads'" in refused('{"name": "a", "threads": 1, "threads": 2}', Engine)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_rejects_nan_and_infinity(number: str):
    assert f"{number} is not a JSON number" in refused(json.dumps(document(share=0.125)).replace("0.125", number))


def test_rejects_a_number_beyond_float():
    text = json.dumps(document(share=0.125)).replace("0.125", "1e999")
    assert refused(text).startswith("share: expected a number")


@pytest.mark.parametrize("opening", ["[", '{"name":'])
def test_rejects_deep_nesting(opening: str):
    assert refused(opening * 100_000) == "it is nested too deeply"


def test_rejects_nesting_around_the_limit():
    for depth in range(850, 1010):
        refused('{"name": ' + "[" * depth + "]" * depth + "}", Engine)


@pytest.mark.parametrize("text", ["", "{", "{'name': 1}", '{"name": "a"} x', b"\xff\xfe\x00", b"\x80", "9" * 5000])
def test_rejects_text_that_is_not_json(text: str | bytes):
    assert refused(text).startswith("it is not valid JSON: ")


def test_shortens_long_values_in_messages():
    assert len(refused(json.dumps(document(count="x" * 10_000)))) < 120


def test_reports_errors_of_a_dataclass():
    assert refused('{"inner": {"value": 0}}', Holder) == "inner: value must be positive, found 0"
    assert refused('{"value": 0}', Positive) == "the document: value must be positive, found 0"
