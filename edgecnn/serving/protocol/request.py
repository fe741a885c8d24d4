"""A request's bytes to tensors that the model can take, or to the refusal that says what is wrong with them.

Open Inference Protocol v2, inference request, with Triton's binary tensor data and classification extensions
(Triton Inference Server, docs/protocol/extension_binary_data.md and extension_classification.md). Three rules of this
server: an optional field is left out, never null; of a key that stands twice in an object the last one counts; raw BOOL
has no other bytes than 0 and 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from edgecnn.serving.protocol import header, tensors
from edgecnn.serving.protocol.datatypes import BINARY_ONLY, KNOWN, TensorSpec
from edgecnn.serving.protocol.tensors import Tensor
from edgecnn.serving.protocol.wording import found, invalid, quoted, shown

_Spec = TypeVar("_Spec")


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output that the client wants.

    Attributes:
        name: one of the model's.
        binary: whether it travels raw behind the JSON.
        classes: how many of the best classes to name instead of all numbers; 0 for the numbers.
    """

    name: str
    binary: bool
    classes: int = 0


@dataclass(slots=True)
class InferRequest:
    """A request that the model can take.

    Not frozen, as that costs a microsecond of the ten that a small request takes; nobody changes it all the same.

    Attributes:
        id: what the client calls it; None where it did not say.
        inputs: all that the model has, by name. Arrays may lie in the body and cannot be written to.
        datatypes: as which of its accepted datatypes each input came.
        outputs: at least one, in the order in which they are answered.
        batch: images, or whatever the inputs hold, along axis 0 of each.
        timeout_s: after which nobody waits for the answer; None for ever.
    """

    id: str | None
    inputs: dict[str, Tensor]
    datatypes: dict[str, str]
    outputs: tuple[RequestedOutput, ...]
    batch: int
    timeout_s: float | None


def parse(
    body: bytes,
    header_length: str | None,
    *,
    accepted: Mapping[str, tuple[TensorSpec, ...]],
    outputs: Mapping[str, TensorSpec],
    max_batch: int,
    max_json_bytes: int = header.MAX_JSON_BYTES,
) -> InferRequest:
    """Read a request.

    Args:
        body: as the client meant it, with no encoding on it.
        header_length: the text of `Inference-Header-Content-Length`; None where there was no such header.
        accepted: as what each input may come; of several that fit, the first.
        outputs: what the model answers.
        max_batch: the most that axis 0 may have.
        max_json_bytes: the most that is read as JSON; raw tensors do not count.

    Raises:
        Refusal: the request is malformed, or not one to this model ("invalid"), or its JSON is too long ("too_large").
    """
    if not body:
        raise invalid("request body is empty")
    length = len(body) if header_length is None else header.length_of(header_length, size=len(body))
    if length == 0:
        return _raw(body, accepted, outputs)
    request = header.load(body[:length], max_bytes=max_json_bytes)
    parameters = header.parameters_of(request, "request")
    inputs, datatypes, batch = _inputs(request, body, length, accepted, max_batch)
    binary = header.flag(parameters, "binary_data_output", "request", default=False)
    timeout_us = header.natural(parameters, "timeout", "request")
    return InferRequest(
        header.id_of(request),
        inputs,
        datatypes,
        _outputs(request, outputs, binary),
        batch,
        timeout_us / 1e6 if timeout_us else None,
    )


def _raw(
    body: bytes, accepted: Mapping[str, tuple[TensorSpec, ...]], outputs: Mapping[str, TensorSpec]
) -> InferRequest:
    """Take the whole body as the only input: a batch of one, as the first datatype that it may have."""
    if len(accepted) != 1:
        raise invalid(f"a raw request has one input; the model expects {_names(accepted)}")
    ((name, specs),) = accepted.items()
    spec = specs[0]
    shape = (1, *spec.shape[1:])
    if -1 in shape:
        raise invalid(f"a raw request leaves no doubt of the shape; the model expects {name} as {spec}")
    if spec.datatype == "BYTES":
        if shape.count(1) != len(shape):
            raise invalid(f"a raw request has one element; the model expects {name} as {spec}")
        tensor: Tensor = (body,)  # the one tensor of BYTES that has no length in front
    else:
        tensor = tensors.from_raw(name, spec.datatype, shape, body=body, start=0, size=len(body))
    wanted = tuple(RequestedOutput(each, binary=True) for each in outputs)
    return InferRequest(None, {name: tensor}, {name: spec.datatype}, wanted, 1, None)


def _inputs(
    request: Mapping[str, Any],
    body: bytes,
    start: int,
    accepted: Mapping[str, tuple[TensorSpec, ...]],
    max_batch: int,
) -> tuple[dict[str, Tensor], dict[str, str], int]:
    """Read all inputs; those that are raw follow each other in the body from `start`, and nothing follows them.

    However many are listed, no more are looked at than the model has, and one.
    """
    inputs: dict[str, Tensor] = {}
    datatypes: dict[str, str] = {}
    batch = 0
    for given in _listed(request, "inputs"):
        name, specs = _known(given, "input", accepted)
        if name in inputs:
            raise invalid(f"input '{name}' is given twice")
        datatype, shape = _match(name, given, specs, max_batch)
        batch = batch or shape[0]
        if shape[0] != batch:
            raise invalid(f"input '{name}': expected a batch of {batch}, as the inputs before have, found {shape[0]}")
        inputs[name], size = _tensor(name, given, datatype, shape, body=body, start=start)
        datatypes[name] = datatype
        start += size
    if len(inputs) != len(accepted):
        raise invalid(f"expected the inputs {_names(accepted)}, found {_names(inputs) or 'none'}")
    if start != len(body):
        raise invalid(f"unexpected {len(body) - start} additional bytes behind the last input")
    return inputs, datatypes, batch


def _tensor(
    name: str, given: Mapping[str, Any], datatype: str, shape: tuple[int, ...], *, body: bytes, start: int
) -> tuple[Tensor, int]:
    """Read one input from JSON, or from the body at `start`; return it and how many bytes of the body it took."""
    parameters = header.parameters_of(given, "input")
    if "binary_data_size" not in parameters:
        if "data" not in given:
            raise invalid(f"input '{name}': expected data or binary_data_size, found neither")
        return tensors.from_json(name, datatype, shape, given["data"]), 0
    if "data" in given:
        raise invalid(f"input '{name}': expected data or binary_data_size, found both")
    size = header.natural(parameters, "binary_data_size", "input")
    if size > len(body) - start:
        raise invalid(f"input '{name}': binary_data_size is {size}, but {len(body) - start} bytes are left of the body")
    return tensors.from_raw(name, datatype, shape, body=body, start=start, size=size), size


def _match(
    name: str, given: Mapping[str, Any], specs: tuple[TensorSpec, ...], max_batch: int
) -> tuple[str, tuple[int, ...]]:
    """Return datatype and shape of an input after holding them against what the model accepts.

    The sizes stay Python's integers, of any length, until data have been found for them.
    """
    datatype, shape = given.get("datatype"), given.get("shape")
    if type(datatype) is not str or datatype not in KNOWN:
        raise invalid(f"input '{name}': expected {_either(specs)}, found the datatype {found(datatype)}")
    if type(shape) is not list:
        raise invalid(f"input '{name}': expected a list as shape, found {found(shape)}")
    for spec in specs:
        if spec.datatype == datatype and _fits(shape, spec.shape):
            break
    else:
        raise invalid(f"input '{name}': expected {_either(specs)}, found {datatype} {shown(shape)}")
    if shape[0] > max_batch:
        raise invalid(f"input '{name}': expected a batch of at most {max_batch}, found {shape[0]}")
    return datatype, tuple(shape)


def _fits(shape: list[Any], expected: tuple[int, ...]) -> bool:
    if len(shape) != len(expected):
        return False
    for size, fixed in zip(shape, expected, strict=True):
        # Neither true nor 1.0 is a size, though both are equal to 1.
        if type(size) is not int or (size != fixed if fixed >= 0 else size < 1):
            return False
    return True


def _outputs(
    request: Mapping[str, Any], outputs: Mapping[str, TensorSpec], binary_by_default: bool
) -> tuple[RequestedOutput, ...]:
    """Read which outputs are wanted: all, unless some are listed."""
    wanted: dict[str, RequestedOutput] = {}
    listed = request.get("outputs", [])
    if type(listed) is not list:
        raise invalid(f"outputs: expected a list, found {found(listed)}")
    for given in listed or [{"name": name} for name in outputs]:
        name, spec = _known(given, "output", outputs)
        if name in wanted:
            raise invalid(f"output '{name}' is requested twice")
        parameters = header.parameters_of(given, "output")
        classes = header.natural(parameters, "classification", "output")
        binary = header.flag(parameters, "binary_data", "output", default=binary_by_default)
        if not binary and not classes and spec.datatype in BINARY_ONLY:
            raise invalid(f"output '{name}': {spec.datatype} needs binary data")
        wanted[name] = RequestedOutput(name, binary, classes)
    return tuple(wanted.values())


def _listed(request: Mapping[str, Any], key: str) -> list[Any]:
    listed = request.get(key)
    if type(listed) is not list or not listed:
        what = found(listed) if key in request else "none"
        raise invalid(f"{key}: expected a list of at least one, found {what}")
    return listed


def _known(given: Any, kind: str, specs: Mapping[str, _Spec]) -> tuple[str, _Spec]:
    """Return the name that an entry of a list has, and what the model says of it."""
    if type(given) is not dict:
        raise invalid(f"{kind}s: expected a list of objects, found {found(given)} in it")
    name = given.get("name")
    if type(name) is not str:
        raise invalid(f"{kind}s: expected a string as name, found {found(name)}")
    if name not in specs:
        expected = "expects" if kind == "input" else "answers"
        raise invalid(f"unexpected {kind} {quoted(name)}; model {expected} {_names(specs)}")
    return name, specs[name]


def _names(specs: Mapping[str, Any]) -> str:
    return ", ".join(f"'{name}'" for name in specs)


def _either(specs: tuple[TensorSpec, ...]) -> str:
    return " or ".join(map(str, specs))
