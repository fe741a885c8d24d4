"""Holds a request against the model that it is sent to: which inputs, of which kind and shape, and which outputs.

A request is a mapping of the protocol's words here, whether it came as JSON or as a protobuf message: its refusals are
the same. Where the data of an input lie is known to whoever read it; see `Data`.
"""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from edgecnn.protocol import header
from edgecnn.protocol.datatypes import BINARY_ONLY, KNOWN, TensorSpec
from edgecnn.protocol.tensors import Tensor
from edgecnn.protocol.wording import found, invalid, quoted, shown

_Spec = TypeVar("_Spec")

Accepted = Mapping[str, tuple[TensorSpec, ...]]
"""As what each input may come; of several that fit, the first."""


class Data(Protocol):
    """The data of a request's inputs, which are asked for in their order."""

    def tensor(self, name: str, given: Mapping[str, Any], datatype: str, shape: tuple[int, ...]) -> Tensor:
        """Return the data of an input, whose datatype and shape the model accepts."""
        ...

    def check_end(self) -> None:
        """Refuse what no input has asked for."""
        ...


def inputs_of(request: Mapping[str, Any], data: Data, *, accepted: Accepted, max_batch: int) -> dict[str, Tensor]:
    """Return all inputs by name.

    However many are listed, no more are looked at than the model has, and one.

    Raises:
        Refusal: they are not those of the model.
    """
    inputs: dict[str, Tensor] = {}
    batch = 0
    for given in _listed(request, "inputs"):
        name, specs = _known(given, "input", accepted)
        if name in inputs:
            raise invalid(f"input '{name}' is given twice")
        datatype, shape = _match(name, given, specs, max_batch)
        batch = batch or shape[0]
        if shape[0] != batch:
            raise invalid(f"input '{name}': expected a batch of {batch}, as the inputs before have, found {shape[0]}")
        inputs[name] = data.tensor(name, given, datatype, shape)
    if len(inputs) != len(accepted):
        raise invalid(f"expected the inputs {names(accepted)}, found {names(inputs) or 'none'}")
    data.check_end()
    return inputs


def outputs_of(
    request: Mapping[str, Any], outputs: Mapping[str, TensorSpec], *, always_binary: bool
) -> list[tuple[str, bool, int]]:
    """Return which outputs are wanted: name, whether raw, and how many classes by name instead of all numbers.

    All are, unless some are listed.

    Args:
        request: what was asked for.
        outputs: of the model.
        always_binary: whether tensors travel raw, whatever the request says.

    Raises:
        Refusal: they are not outputs of the model, or cannot be given like that.
    """
    parameters = header.parameters_of(request, "request")
    by_default = always_binary or header.flag(parameters, "binary_data_output", "request", default=False)
    wanted: dict[str, tuple[str, bool, int]] = {}
    listed = request.get("outputs", [])
    if type(listed) is not list:
        raise invalid(f"outputs: expected a list, found {found(listed)}")
    for given in listed or [{"name": name} for name in outputs]:
        name, spec = _known(given, "output", outputs)
        if name in wanted:
            raise invalid(f"output '{name}' is requested twice")
        parameters = header.parameters_of(given, "output")
        classes = header.natural(parameters, "classification", "output")
        binary = always_binary or header.flag(parameters, "binary_data", "output", default=by_default)
        if not binary and not classes and spec.datatype in BINARY_ONLY:
            raise invalid(f"output '{name}': {spec.datatype} needs binary data")
        wanted[name] = name, binary, classes
    return list(wanted.values())


def names(specs: Mapping[str, Any]) -> str:
    """Return names in quotes."""
    return ", ".join(f"'{name}'" for name in specs)


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
        raise invalid(f"unexpected {kind} {quoted(name)}; model {expected} {names(specs)}")
    return name, specs[name]


def _either(specs: tuple[TensorSpec, ...]) -> str:
    return " or ".join(map(str, specs))
