"""What each chapter shows: parts of the files in `data`, as JSON."""

from collections.abc import Callable
from functools import cache
from typing import Any

from edgecnn.files.schema import plain
from edgecnn.learning.architectures.counts import Counts
from edgecnn.learning.architectures.measurements import Depths, Gradients, Overfitting, read
from edgecnn.learning.architectures.pictures import Digits, Photographs
from edgecnn.learning.architectures.published import Published

Facts = dict[str, Any]

_COUNTED = {"lenet": "lenet", "alexnet": "alexnet", "vgg": "vgg16", "googlenet": "googlenet", "resnet": "resnet18"}
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_TRAINED = _COUNTED | {"vgg": "vgg11_bn"}


def network(chapter: str) -> Facts:
    """Return the facts of the chapter on one architecture: its layers, its figures, and what it brought."""
    counts, figures = _counts(), _published()
    counted = next(each for each in counts.networks if each.name == _COUNTED[chapter])
    return {
        "network": plain(counted),
        "accuracy": plain(next(each for each in figures.accuracies if each.architecture == _TRAINED[chapter])),
        "latencies": [plain(each) for each in figures.latencies if each.network == counted.name],
        "machine": figures.machine.split(",")[0],
    } | _BROUGHT[chapter]()


def compared() -> Facts:
    """Return the facts of all five architectures."""
    return {"networks": {name: network(name) for name in _COUNTED}}


def gradients() -> Facts:
    """Return the gradients of deep networks at initialisation."""
    found = read(Gradients, "gradients")
    vanishing = found.series[0].norms
    texts = {"first": _power(vanishing[0]), "last": _power(vanishing[-1]), "product": _power(0.25 ** (found.depth - 1))}
    return {**plain(found), **texts}


def _power(value: float) -> str:
    """Format a number with one digit: `4 · 10⁻¹⁴`."""
    if value >= 0.01:
        return f"{value:.1g}"
    digit, exponent = f"{value:.0e}".split("e")
    return f"{digit} · 10{str(int(exponent)).translate(_RAISED)}"


def overfitting() -> Facts:
    """Return the trainings on few images."""
    found: Facts = plain(read(Overfitting, "overfitting"))
    return found


def digits() -> Facts:
    """Return what LeNet computes for digits."""
    found: Facts = plain(read(Digits, "digits"))
    return found


def photographs() -> Facts:
    """Return what EfficientNet-Lite0 computes for photographs."""
    found: Facts = plain(read(Photographs, "photographs"))
    return found


def cats_dogs() -> Facts:
    """Return the accuracy of the classifier of cats and dogs."""
    found: Facts = plain(_published().photographs)
    return found


def _vgg() -> Facts:
    return {"stacks": plain(_counts().stacks)}


def _googlenet() -> Facts:
    modules = _counts().inception
    return {
        "modules": plain(modules),
        "with": {"parameters": sum(each.parameters for each in modules), "macs": sum(each.macs for each in modules)},
        "direct": {
            "parameters": sum(each.direct_parameters for each in modules),
            "macs": sum(each.direct_macs for each in modules),
        },
        "alexnet": plain(next(each for each in _counts().networks if each.name == "alexnet")),
    }


def _resnet() -> Facts:
    return {"depths": plain(read(Depths, "depth")), "resnets": plain(_counts().resnets)}


_BROUGHT: dict[str, Callable[[], Facts]] = {
    "lenet": dict,
    "alexnet": dict,
    "vgg": _vgg,
    "googlenet": _googlenet,
    "resnet": _resnet,
}


@cache
def _counts() -> Counts:
    return read(Counts, "counts")


@cache
def _published() -> Published:
    return read(Published, "published")
