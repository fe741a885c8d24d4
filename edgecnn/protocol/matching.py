"""Checks the inputs and outputs of a request against the model: names, datatypes and shapes.

A request is a mapping with the protocol's field names here, for JSON and for protobuf. Both get the same errors.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from edgecnn.protocol import header
from edgecnn.protocol.datatypes import BINARY_ONLY, KNOWN, TensorSpec
from edgecnn.protocol.tensors import Tensor
from edgecnn.protocol.wording import found, invalid, quoted, shown

_Spec = TypeVar("_Spec")

Accepted = Mapping[str, tuple[TensorSpec, ...]]
"""Allowed forms of each input; the first that matches is used."""


PROBABILITIES = "probabilities"
"""Name of the request parameter, and of the output that it selects: the probabilities of the classes, FP32 [N, K].

It is an extension of this server: models list only the output from which it is computed.
"""


Reader = Callable[[str, Mapping[str, Any], str, tuple[int, ...]], Tensor]
"""Reads the data of an input from its name, its entry, and a datatype and shape that the model accepts.

It is called once per input, in the order of the request.
"""


def pixels_or_files(name: str, image_shape: Sequence[int]) -> Accepted:
    """Return the forms of a bundle's input: uint8 [N, H, W, C], or [N] encoded image files."""
    return {name: (TensorSpec(name, "UINT8", (-1, *image_shape)), TensorSpec(name, "BYTES", (-1,)))}


def logits_of(name: str, classes: int) -> Mapping[str, TensorSpec]:
    """Return a bundle's output: FP32 [N, classes]."""
    return {name: TensorSpec(name, "FP32", (-1, classes))}


@dataclass(slots=True)
class RequestedOutput:
    """An output that the client requests. Treat it as immutable: to create a frozen one takes a microsecond longer.

    Attributes:
        name: of the model's output.
        binary: whether it is sent raw, after the JSON.
        classes: number of best classes to return as text; 0 returns all numbers.
        is_probability: whether the output's probabilities are returned, see `PROBABILITIES`.
    """

    name: str
    binary: bool
    classes: int = 0
    is_probability: bool = False


def inputs_of(request: Mapping[str, Any], read: Reader, *, accepted: Accepted, max_batch: int) -> dict[str, Tensor]:
    """Return all inputs by name.

    Stops at the first unknown or repeated input, so a long list costs little.

    Raises:
        Refusal: the inputs do not match the model.
    """
    inputs: dict[str, Tensor] = {}
    batch = 0
    listed = request.get("inputs")
    if type(listed) is not list or not listed:
        what = found(listed) if "inputs" in request else "none"
        raise invalid(f"inputs: expected a list of at least one, found {what}")
    for given in listed:
        name, specs = _known(given, "input", accepted)
        if name in inputs:
            raise invalid(f"input '{name}' is given twice")
        datatype, shape = _match(name, given, specs, max_batch)
        batch = batch or shape[0]
        if shape[0] != batch:
            raise invalid(f"input '{name}': expected a batch of {batch}, as the inputs before have, found {shape[0]}")
        inputs[name] = read(name, given, datatype, shape)
    if len(inputs) != len(accepted):
        raise invalid(f"expected the inputs {names(accepted)}, found {names(inputs) or 'none'}")
    return inputs


def outputs_of(
    request: Mapping[str, Any], outputs: Mapping[str, TensorSpec], *, always_binary: bool, probabilities: bool = False
) -> tuple[RequestedOutput, ...]:
    """Return the outputs that a request lists, or all outputs of the model; all are raw if `always_binary`.

    `probabilities` is the default of the request parameter. With it, each output has probabilities as its values; it is
    named `PROBABILITIES` unless the request lists it under the model's name. Without it, a request may list both. A
    model with several outputs has no probabilities.

    Raises:
        Refusal: the model has no such output, or cannot return it in this form.
    """
    parameters = header.parameters_of(request, "request")
    by_default = always_binary or header.flag(parameters, "binary_data_output", "request", default=False)
    all_probabilities = header.flag(parameters, PROBABILITIES, "request", default=probabilities)
    if all_probabilities and len(outputs) != 1:
        raise invalid(f"request: {PROBABILITIES} needs a model with one output; the model returns {names(outputs)}")
    wanted: dict[str, RequestedOutput] = {}
    listed = request.get("outputs", [])
    if type(listed) is not list:
        raise invalid(f"outputs: expected a list, found {found(listed)}")
    for given in listed or [{"name": name} for name in ((PROBABILITIES,) if all_probabilities else outputs)]:
        is_computed = type(given) is dict and given.get("name") == PROBABILITIES and len(outputs) == 1
        offered = {PROBABILITIES: next(iter(outputs.values())), **outputs} if is_computed else outputs
        name, spec = _known(given, "output", offered)
        if name in wanted:
            raise invalid(f"output '{name}' is requested twice")
        parameters = header.parameters_of(given, "output")
        classes = header.natural(parameters, "classification", "output")
        binary = always_binary or header.flag(parameters, "binary_data", "output", default=by_default)
        if not binary and not classes and spec.datatype in BINARY_ONLY:
            raise invalid(f"output '{name}': {spec.datatype} needs binary data")
        wanted[name] = RequestedOutput(name, binary, classes, all_probabilities or name not in outputs)
    return tuple(wanted.values())


def names(specs: Mapping[str, Any]) -> str:
    """Return names in quotes."""
    return ", ".join(f"'{name}'" for name in specs)


def _match(
    name: str, given: Mapping[str, Any], specs: tuple[TensorSpec, ...], max_batch: int
) -> tuple[str, tuple[int, ...]]:
    """Check datatype and shape of an input against the model, and return them.

    Sizes stay Python integers of any length, so that products cannot overflow.
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
        # true and 1.0 are equal to 1, but are not sizes.
        if type(size) is not int or (size != fixed if fixed >= 0 else size < 1):
            return False
    return True


def _known(given: Any, kind: str, specs: Mapping[str, _Spec]) -> tuple[str, _Spec]:
    """Return the name in an entry, and the model's specification of it."""
    if type(given) is not dict:
        raise invalid(f"{kind}s: expected a list of objects, found {found(given)} in it")
    name = given.get("name")
    if type(name) is not str:
        raise invalid(f"{kind}s: expected a string as name, found {found(name)}")
    if name not in specs:
        expected = "expects" if kind == "input" else "returns"
        raise invalid(f"unexpected {kind} {quoted(name)}; model {expected} {names(specs)}")
    return name, specs[name]


def _either(specs: tuple[TensorSpec, ...]) -> str:
    return " or ".join(map(str, specs))
