"""The chapters of the site, in their order."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Literal

from edgecnn.learning.architectures import facts

Part = Literal["operations", "networks"]


@dataclass(frozen=True)
class Chapter:
    """A chapter: one page of the site.

    The words of `edgecnn.learning` contain its title (`learn.NAME.title`) and a sentence about it
    (`learn.NAME.summary`), which every page of the site shows.

    Attributes:
        name: the page is `NAME.html`, from the template `NAME.html`, which extends `chapter.html`.
        part: the part of the site.
        package: the package with the template, scripts, styles and words of the chapter.
        scripts: file names of JavaScript modules.
        styles: file names of style sheets in addition to `learn.css`.
        charts: whether the scripts draw charts.
        data: returns the JSON content that the scripts read.
    """

    name: str
    part: Part
    package: str = "edgecnn.learning"
    scripts: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()
    charts: bool = False
    data: Callable[[], object] | None = None


def images() -> object:
    """Return the small images of the chapters: `images.json`; `images.js` reads them."""
    return json.loads((files("edgecnn.learning") / "images.json").read_text(encoding="utf-8"))


OPERATIONS = (
    Chapter("convolution", "operations", scripts=("convolution.js",), data=images),
    Chapter("channels", "operations", scripts=("channels.js",), data=images),
    Chapter("shared-weights", "operations", scripts=("shared-weights.js",), data=images),
    Chapter("receptive-field", "operations", scripts=("receptive-field.js",), data=images),
    Chapter("activations", "operations", scripts=("activations.js",), data=images, charts=True),
    Chapter("pooling", "operations", scripts=("pooling.js",), data=images),
    Chapter("flatten", "operations", scripts=("flatten.js",)),
    Chapter("linear", "operations", scripts=("linear.js",)),
    Chapter("softmax", "operations", scripts=("softmax.js",)),
    Chapter("dropout", "operations", scripts=("dropout.js",)),
    Chapter("batch-norm", "operations", scripts=("batch-norm.js",)),
)

_network = partial(Chapter, part="networks", package="edgecnn.learning.architectures", styles=("networks.css",))

NETWORKS = (
    *(
        _network(
            name, scripts=(f"{name}.js",), charts=name in ("googlenet", "resnet"), data=partial(facts.network, name)
        )
        for name in ("lenet", "alexnet", "vgg", "googlenet", "resnet")
    ),
    _network("compared", scripts=("compared.js",), charts=True, data=facts.compared),
    _network("gradients", scripts=("gradients.js",), charts=True, data=facts.gradients),
    _network("overfitting", scripts=("overfitting.js",), charts=True, data=facts.overfitting),
    _network("lenet-digits", scripts=("lenet-digits.js",), data=facts.digits),
    _network("cats-dogs", data=facts.cats_dogs),
    _network("edges-to-objects", scripts=("edges-to-objects.js",), data=facts.photographs),
)

CHAPTERS = (*OPERATIONS, *NETWORKS)
