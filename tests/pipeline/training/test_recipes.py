"""Recipes: training options for each architecture and source."""

import dataclasses

import pytest

from edgecnn.errors import UsageError
from edgecnn.pipeline.data.sources import NAMES
from edgecnn.pipeline.models.registry import architectures, check_network, get_architecture
from edgecnn.pipeline.training.recipes import TrainingOptions, differing, recipe, recipes

FIELDS = {field.name for field in dataclasses.fields(TrainingOptions)}


def test_recipes_use_known_names():
    known = {architecture.name for architecture in architectures()} | {"*"}
    assert set(recipes()) <= known
    for sources in recipes().values():
        assert set(sources) <= {*NAMES, "cats-vs-dogs", "*"}
        for options in sources.values():
            assert set(options) <= FIELDS


@pytest.mark.parametrize("source", [*NAMES, "an image folder"])
def test_every_architecture_supports_its_recipe(source: str):
    for architecture in architectures():
        options = recipe(architecture.name, source)
        network = architecture.usual(image_size=options.image_size, stem=options.stem or "standard")
        if source == "fashion-mnist" and architecture.name == "alexnet":
            assert network.image_size == (get_architecture("alexnet").min_image_size,) * 2
        check_network(network)


def test_overrides_precede_recipes_and_defaults():
    assert recipe("lenet", "digits").epochs == 40
    assert recipe("lenet", "digits").learning_rate == 5e-3
    assert recipe("lenet", "digits", epochs=3, learning_rate=None).epochs == 3
    assert recipe("lenet", "digits", epochs=3, learning_rate=None).learning_rate == 5e-3
    assert recipe("vgg16", "holiday").weight_decay == TrainingOptions().weight_decay


def test_mirrors_photographs_but_not_digits():
    assert recipe("resnet18", "cats-vs-dogs").flip
    assert not recipe("lenet", "digits").flip
    assert not recipe("lenet", "mnist").flip
    assert not recipe("resnet18", "cats-vs-dogs", flip=False).flip


def test_an_invalid_override_is_a_usage_error():
    with pytest.raises(UsageError, match="epochs must be positive, found 0"):
        recipe("lenet", "digits", epochs=0)


@pytest.mark.parametrize(
    "option",
    [
        {"epochs": 0},
        {"batch_size": -1},
        {"learning_rate": 0.0},
        {"label_smoothing": 1},
        {"warmup": 1},
        {"validation": -0.1},
        {"zoom": 1},
        {"shift": float("nan")},
        {"seed": -1},
    ],
)
def test_rejects_invalid_options(option: dict[str, float]):
    with pytest.raises(ValueError, match=next(iter(option))):
        TrainingOptions(**option)  # type: ignore[arg-type]


def test_lists_differing_options():
    assert differing(TrainingOptions(), TrainingOptions(epochs=3, batch_size=8)) == [
        "--epochs 20 → 3",
        "--batch-size 64 → 8",
    ]
