"""Convert frozen dataclasses to JSON and back. All JSON files of edgecnn are read and written here.

The reader is strict: an unknown key, a missing key or a value of another type is an error with its location. Only the
types that the file formats use are supported.
"""

import contextlib
import dataclasses
import json
import math
import types
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

ADDED = {"added": True}
"""Metadata of a field that a later minor version of a format added. It is not written if it has its default."""


class SchemaError(ValueError):
    """JSON does not follow the schema. The message contains the location in the document."""


def dump(value: Any) -> str:
    """Return a dataclass as JSON: keys in the order of the fields, indented by two spaces, with a final newline."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """Convert dataclasses, tuples and paths to types that `json` supports."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ((field, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {
            field.name: plain(content)
            for field, content in fields
            if not field.metadata.get("added") or content != field.default
        }
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def parse(cls: type[T], text: str | bytes) -> T:
    """Parse JSON text as `cls`.

    Raises:
        SchemaError: the text is not JSON, or does not match `cls`.
    """
    try:
        document = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except RecursionError:
        raise SchemaError("it is nested too deeply") from None
    except ValueError as error:
        raise SchemaError(f"it is not valid JSON: {error}") from None
    try:
        return read(cls, document)
    except RecursionError:  # the decoder's limit is just above the depth at which formatting an error fails
        raise SchemaError("it is nested too deeply") from None


def read(cls: type[T], value: Any) -> T:
    """Convert decoded JSON to `cls`, strictly."""
    result: T = _read(cls, value, "")
    return result


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in pairs:
        if key in document:
            raise SchemaError(f"duplicate key {key!r}")
        document[key] = value
    return document


def _no_constant(name: str) -> Any:
    raise SchemaError(f"{name} is not a JSON number")


def _read(kind: Any, value: Any, place: str) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _read_dataclass(kind, value, place)
    if origin in (Union, types.UnionType):
        return _read_optional(kind, value, place)
    if origin is Literal:
        if value not in get_args(kind):
            raise _mismatch(place, "one of " + ", ".join(map(repr, get_args(kind))), value)
        return value
    if origin is tuple:
        return _read_tuple(get_args(kind), value, place)
    if origin is dict:
        if not isinstance(value, dict):
            raise _mismatch(place, "an object", value)
        return {key: _read(get_args(kind)[1], item, f"{place}[{key!r}]") for key, item in value.items()}
    if kind is Path:
        return Path(_read_scalar(str, value, place))
    return _read_scalar(kind, value, place)


def _read_dataclass(cls: type, value: Any, place: str) -> Any:
    if not isinstance(value, dict):
        raise _mismatch(place, "an object", value)
    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in value:
        if key not in fields:
            raise SchemaError(f"unknown key {_join(place, key)!r}")
    arguments = {}
    for name, field in fields.items():
        if name in value:
            arguments[name] = _read(hints[name], value[name], _join(place, name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise SchemaError(f"missing key {_join(place, name)!r}")
    try:
        return cls(**arguments)
    except ValueError as error:  # a dataclass's own check in __post_init__
        raise SchemaError(f"{place or 'the document'}: {error}") from None


def _read_optional(kind: Any, value: Any, place: str) -> Any:
    options = [option for option in get_args(kind) if option is not type(None)]
    if value is None and len(options) < len(get_args(kind)):
        return None
    for option in options[:-1]:
        with contextlib.suppress(SchemaError):
            return _read(option, value, place)
    return _read(options[-1], value, place)


def _read_tuple(arguments: tuple[Any, ...], value: Any, place: str) -> Any:
    if not isinstance(value, list):
        raise _mismatch(place, "a list", value)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_read(arguments[0], item, f"{place}[{i}]") for i, item in enumerate(value))
    if len(value) != len(arguments):
        raise _mismatch(place, f"a list of {len(arguments)}", value)
    return tuple(_read(kind, value[i], f"{place}[{i}]") for i, kind in enumerate(arguments))


def _read_scalar(kind: Any, value: Any, place: str) -> Any:
    names = {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}
    if kind is float and type(value) is int and abs(value) < 2**53:
        value = float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise _mismatch(place, names[kind], value)
    return value


def _join(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def _mismatch(place: str, expected: str, value: Any) -> SchemaError:
    found = json.dumps(value, default=str)
    return SchemaError(f"{place or 'the document'}: expected {expected}, found {found[:60]}")
