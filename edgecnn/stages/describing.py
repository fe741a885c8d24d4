"""Turn keyword arguments into the options of weights and ONNX files, as the command line does with its options."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecnn.errors import UsageError
from edgecnn.hints import did_you_mean

if TYPE_CHECKING:
    from edgecnn.pipeline.importing.onnx_file.options import OnnxOptions
    from edgecnn.pipeline.importing.options import WeightsOptions

_PAIRS = ("image_size", "crop")
_TUPLES = ("resize", "fill", "mean", "std")
_OF_ONNX = ("channel_order", "layout", "output", "widen")


def check_names(options: Iterable[str], known: Iterable[str]) -> None:
    """Check the names of options.

    Raises:
        UsageError: an option is unknown. The message lists the known ones.
    """
    names = list(known)
    for name in options:
        if name not in names:
            raise UsageError(f"unknown option {name!r}{did_you_mean(name, names)}: expected {', '.join(names)}")


def names_of(cls: type) -> list[str]:
    """Return the names of the fields of a dataclass."""
    return [field.name for field in fields(cls)]


def weights_options(options: Mapping[str, Any]) -> "WeightsOptions | None":
    """Return the options of weights; None if all of them are missing or None.

    Args:
        options: fields of `WeightsOptions`. A single number is accepted for a size, a mean or a standard deviation.
            `labels` may also be the path of a file; see `read_labels`.

    Raises:
        UsageError: an option is unknown, or the file with labels cannot be opened.
        LabelsError: the file does not contain class names.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if not given:
        return None
    from edgecnn.pipeline.importing.labels import read_labels
    from edgecnn.pipeline.importing.options import WeightsOptions

    check_names(given, names_of(WeightsOptions))
    labels = given.get("labels")
    if isinstance(labels, str | Path):
        given |= {"labels": read_labels(Path(labels)), "labels_from": f"--labels {labels}"}
    elif labels is not None:
        given["labels"] = tuple(labels)
    for name in (*_PAIRS, *_TUPLES):
        if name in given:
            value = given[name]
            given[name] = tuple(value) if isinstance(value, tuple | list) else (value,) * (2 if name in _PAIRS else 1)
    return WeightsOptions(**given)


def onnx_options(options: Mapping[str, Any]) -> "OnnxOptions":
    """Return the options of an ONNX file: fields of `OnnxOptions` and of `WeightsOptions`.

    Raises:
        UsageError, LabelsError: see `weights_options`.
    """
    from edgecnn.pipeline.importing.onnx_file.options import OnnxOptions
    from edgecnn.pipeline.importing.options import WeightsOptions

    own, others = split_onnx(options)
    return OnnxOptions(weights_options(others) or WeightsOptions(), **own)


def split_onnx(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the given options that only ONNX files have, and the others."""
    own = {name: value for name, value in options.items() if name in _OF_ONNX and value is not None}
    return own, {name: value for name, value in options.items() if name not in _OF_ONNX}
