"""JSON read strictly: what is dumped comes back as itself, and every fault names its place."""

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
    """The message with which a text is refused: always one line."""
    with pytest.raises(SchemaError) as raised:
        schema.parse(cls, text)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_dataclass_dumped_and_parsed_is_itself():
    assert schema.parse(Record, schema.dump(RECORD)) == RECORD
    assert schema.parse(Record, schema.dump(RECORD).encode()) == RECORD


def test_a_dump_keeps_the_order_of_the_fields_and_ends_with_a_newline():
    text = schema.dump(RECORD)
    assert list(json.loads(text))[:3] == ["name", "count", "share"]
    assert text.endswith("}\n")
    assert "größe" in text


def test_a_dump_refuses_what_is_not_a_json_number():
    with pytest.raises(ValueError, match="JSON"):
        schema.dump(Record(**(vars(RECORD) | {"share": float("nan")})))


def test_keys_with_a_default_may_be_missing():
    shorter = document()
    del shorter["engines"], shorter["annotations"], shorter["engine"]["version"]
    record = schema.parse(Record, json.dumps(shorter))
    assert record.engines == ()
    assert record.annotations == {}
    assert record.engine == Engine("onnxruntime", 2)


def test_a_whole_number_is_read_where_a_float_is_expected():
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
def test_any_record_dumped_and_parsed_is_itself(record: Record):
    assert schema.parse(Record, schema.dump(record)) == record


MISMATCHES: dict[str, tuple[dict[str, Any], str]] = {
    "a number for a string": ({"name": 5}, "name: expected a string, found 5"),
    "a string for a number": ({"count": "3"}, 'count: expected a whole number, found "3"'),
    "a boolean for a number": ({"count": True}, "count: expected a whole number, found true"),
    "a float for a whole number": ({"count": 3.0}, "count: expected a whole number, found 3.0"),
    "a boolean for a float": ({"share": False}, "share: expected a number, found false"),
    "a whole number that no float holds": ({"share": 2**53 + 1}, "share: expected a number"),
    "a number for a boolean": ({"sealed": 1}, "sealed: expected true or false, found 1"),
    "null where nothing is optional": ({"name": None}, "name: expected a string, found null"),
    "a word that is not in the choice": ({"kind": "int4"}, "kind: expected one of 'fp32', 'int8', found \"int4\""),
    "a list for a choice": ({"kind": ["int8"]}, "kind: expected one of"),
    "a list that is too short": ({"size": [1]}, "size: expected a list of 2, found [1]"),
    "a list that is too long": ({"size": [1, 2, 3]}, "size: expected a list of 2, found [1, 2, 3]"),
    "a string for a list": ({"labels": "cat"}, 'labels: expected a list, found "cat"'),
    "a wrong item": ({"labels": ["cat", 4]}, "labels[1]: expected a string, found 4"),
    "a wrong item of a pair": ({"size": [1, "2"]}, 'size[1]: expected a whole number, found "2"'),
    "a list for an object": ({"engine": []}, "engine: expected an object, found []"),
    "a list for a mapping": ({"files": []}, "files: expected an object, found []"),
    "a fault inside a mapping": ({"files": {"a.b": 7}}, "files['a.b']: expected an object, found 7"),
    "a fault behind a key of two lines": ({"files": {"a\nb": 7}}, "files['a\\nb']: expected an object"),
    "a fault deep inside": ({"engines": [{"name": "a", "threads": "x"}]}, "engines[0].threads: expected a whole"),
    "an unknown key": ({"surprise": 1}, "unknown key 'surprise'"),
    "an unknown key inside": ({"engine": {"name": "a", "threads": 1, "gpu": 0}}, "unknown key 'engine.gpu'"),
    "a missing key inside": ({"engines": [{"name": "a"}]}, "missing key 'engines[0].threads'"),
}


@pytest.mark.parametrize("fault", MISMATCHES)
def test_a_value_of_another_shape_is_refused_with_its_place(fault: str):
    changes, named = MISMATCHES[fault]
    assert named in refused(json.dumps(document(**changes)))


@pytest.mark.parametrize("key", ["name", "count", "share", "sealed", "kind", "size", "labels", "engine", "files"])
def test_a_missing_key_is_refused_with_its_name(key: str):
    shorter = document()
    del shorter[key]
    assert f"missing key '{key}'" in refused(json.dumps(shorter))


@pytest.mark.parametrize("text", ["[]", "3", '"x"', "null", "true"])
def test_a_document_that_is_no_object_is_refused(text: str):
    assert refused(text) == f"the document: expected an object, found {text}"


def test_a_key_that_stands_twice_is_refused_with_its_name():
    assert "the key 'threads' stands twice" in refused('{"name": "a", "threads": 1, "threads": 2}', Engine)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_constant_that_json_does_not_know_is_refused_with_its_name(number: str):
    assert f"{number} is not a JSON number" in refused(json.dumps(document(share=0.125)).replace("0.125", number))


def test_a_number_beyond_every_float_is_refused_with_its_place():
    text = json.dumps(document(share=0.125)).replace("0.125", "1e999")
    assert refused(text).startswith("share: expected a number")


@pytest.mark.parametrize("opening", ["[", '{"name":'])
def test_deep_nesting_is_refused(opening: str):
    assert refused(opening * 100_000) == "it is nested too deeply"


def test_nesting_of_every_depth_around_the_limit_is_refused_in_one_way():
    for depth in range(850, 1010):
        refused('{"name": ' + "[" * depth + "]" * depth + "}", Engine)


@pytest.mark.parametrize("text", ["", "{", "{'name': 1}", '{"name": "a"} x', b"\xff\xfe\x00", b"\x80", "9" * 5000])
def test_a_text_that_is_no_json_is_refused(text: str | bytes):
    assert refused(text).startswith("it is not valid JSON: ")


def test_a_long_value_is_shortened_in_the_message():
    assert len(refused(json.dumps(document(count="x" * 10_000)))) < 120


def test_the_check_of_a_dataclass_is_reported_with_its_place():
    assert refused('{"inner": {"value": 0}}', Holder) == "inner: value must be positive, found 0"
    assert refused('{"value": 0}', Positive) == "the document: value must be positive, found 0"
