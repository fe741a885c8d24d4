"""`operations.js` in Chromium equals PyTorch, on random inputs and options."""

import random
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
import torch
from browser import FileTab
from torch.nn import functional

from edgecnn.pages.linking import joined

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TOLERANCE = 1e-5
CASES = 25
Call = Callable[..., Any]


@pytest.fixture(scope="module")
def call(browser: "Browser", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Call]:
    """Call a function of the module on several lists of arguments, and return its results."""
    static = files("edgecnn.learning") / "static"
    script = joined(("operations.js",), lambda name: (static / name).read_text(encoding="utf-8"))
    path = tmp_path_factory.mktemp("operations") / "page.html"
    path.write_text(f"<!doctype html><title>operations</title><script>{script}</script>", encoding="utf-8")
    tab = FileTab(browser, path)

    def run(name: str, cases: list[list[Any]]) -> list[Any]:
        return tab.page.evaluate(
            """([name, cases]) => {
                const plain = (value) => ArrayBuffer.isView(value) ? Array.from(value)
                    : Array.isArray(value) ? value.map(plain)
                    : value && typeof value === "object"
                        ? Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)])) : value;
                return cases.map((values) => plain(module_operations[name](...values)));
            }""",
            [name, cases],
        )

    yield run
    tab.end()


def given(values: torch.Tensor) -> dict[str, Any]:
    return {"shape": list(values.shape), "data": values.flatten().tolist()}


def assert_equal(found: dict[str, Any], expected: torch.Tensor) -> None:
    assert found["shape"] == list(expected.shape)
    assert_close(found["data"], expected.flatten())


def assert_close(found: list[float], expected: torch.Tensor) -> None:
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float32), expected, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.fixture(params=[0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 20))])
def draw(request: pytest.FixtureRequest) -> random.Random:
    """Random choices; the slow tests repeat with more seeds."""
    torch.manual_seed(request.param)
    return random.Random(request.param)


def test_convolution(call: Call, draw: random.Random):
    cases, expected = [], []
    while len(cases) < CASES:
        groups, kernel = draw.randint(1, 3), (draw.randint(1, 5), draw.randint(1, 5))
        channels, outputs = groups * draw.randint(1, 3), groups * draw.randint(1, 3)
        options = {"stride": draw.randint(1, 3), "padding": draw.randint(0, 3), "dilation": draw.randint(1, 3)}
        x = torch.randn(channels, draw.randint(3, 12), draw.randint(3, 12))
        if any(
            side + 2 * options["padding"] <= options["dilation"] * (k - 1)
            for side, k in zip(x.shape[1:], kernel, strict=True)
        ):
            continue  # the kernel does not fit
        weight = torch.randn(outputs, channels // groups, *kernel)
        bias = torch.randn(outputs) if draw.random() < 0.5 else None
        cases.append([given(x), given(weight), None if bias is None else bias.tolist(), options | {"groups": groups}])
        expected.append(functional.conv2d(x, weight, bias, **options, groups=groups))
    for found, value in zip(call("conv2d", cases), expected, strict=True):
        assert_equal(found, value)
    sizes = [
        [x["shape"][1], weight["shape"][2], {name: options[name] for name in ("stride", "padding", "dilation")}]
        for x, weight, _, options in cases
    ]
    assert call("outputSize", sizes) == [value.shape[1] for value in expected]


@pytest.mark.parametrize("kind", ["max", "avg"])
def test_pooling(call: Call, draw: random.Random, kind: str):
    cases, expected, winners = [], [], []
    for _ in range(CASES):
        kernel = draw.randint(1, 4)
        options = {"stride": draw.randint(1, 4), "padding": draw.randint(0, kernel // 2)}
        x = torch.randn(draw.randint(1, 3), draw.randint(4, 11), draw.randint(4, 11))
        cases.append([given(x), {"kernel": kernel} | options])
        if kind == "max":
            value, place = functional.max_pool2d(x, kernel, **options, return_indices=True)
            winners.append(place.flatten().tolist())
        else:
            value = functional.avg_pool2d(x, kernel, **options)
        expected.append(value)
    found = call(f"{kind}Pool", cases)
    for each, value in zip(found, expected, strict=True):
        assert_equal(each, value)
    assert kind == "avg" or [each["winners"] for each in found] == winners


def test_flatten(call: Call, draw: random.Random):
    shapes = [[draw.randint(1, 5) for _ in range(3)] for _ in range(CASES)]
    inputs = [torch.randn(shape) for shape in shapes]
    for found, x in zip(call("flatten", [[given(x)] for x in inputs]), inputs, strict=True):
        assert_equal(found, x.flatten())
    places = [tuple(draw.randrange(side) for side in shape) for shape in shapes]
    indices = call("flatIndex", [[shape, *place] for shape, place in zip(shapes, places, strict=True)])
    for x, place, index in zip(inputs, places, indices, strict=True):
        assert x[place] == x.flatten()[index]
    assert call("placeOf", list(map(list, zip(shapes, indices, strict=True)))) == list(map(list, places))


def test_linear(call: Call, draw: random.Random):
    cases, expected = [], []
    for _ in range(CASES):
        x = torch.randn(draw.randint(1, 40))
        weight = torch.randn(draw.randint(1, 9), len(x))
        bias = torch.randn(len(weight))
        cases.append([given(x), given(weight), bias.tolist()])
        expected.append(x @ weight.T + bias)
    for found, value in zip(call("linear", cases), expected, strict=True):
        assert_equal(found, value)


@pytest.mark.parametrize("kind", ["relu", "sigmoid", "tanh"])
def test_activations_and_their_slopes(call: Call, draw: random.Random, kind: str):
    x = torch.cat([torch.randn(200) * 5, torch.tensor([0.0])]).requires_grad_()
    y = getattr(torch, kind)(x)
    y.sum().backward()
    assert x.grad is not None
    assert_close(call(kind, [[x.tolist()]])[0], y.detach())
    assert_close(call("slope", [[kind, x.tolist()]])[0], x.grad)


def test_softmax(call: Call, draw: random.Random):
    cases = [(torch.randn(draw.randint(1, 12)) * draw.choice([1, 10, 500]), draw.uniform(0.1, 5)) for _ in range(CASES)]
    for found, (logits, temperature) in zip(call("softmax", [[x.tolist(), t] for x, t in cases]), cases, strict=True):
        expected = functional.softmax(logits / temperature, dim=0)
        assert_close(found, expected)


def test_dropout(call: Call, draw: random.Random):
    cases, expected = [], []
    for _ in range(CASES):
        p, x = draw.uniform(0, 0.9), torch.randn(50)
        value = functional.dropout(x, p)
        cases.append([x.tolist(), p, (value != 0).tolist()])
        expected.append(value)
    for found, value in zip(call("dropout", cases), expected, strict=True):
        assert_close(found, value)


def test_dropout_keeps_the_share_that_p_leaves(call: Call):
    p, count = 0.3, 5_000
    first, again, other = call("keptBy", [[count, p, 1], [count, p, 1], [count, p, 2]])
    assert first == again != other
    assert sum(first) / count == pytest.approx(1 - p, abs=0.03)


def test_batch_norm(call: Call, draw: random.Random):
    cases, expected = [], []
    for _ in range(CASES):
        channels, training = draw.randint(1, 4), draw.random() < 0.6
        x = torch.randn(draw.randint(2, 6), channels, draw.randint(1, 4), draw.randint(1, 4)) * 3 + 1
        gamma, beta = torch.randn(channels), torch.randn(channels)
        mean, variance, momentum = torch.randn(channels), torch.rand(channels) + 0.1, draw.uniform(0, 1)
        options = {"gamma": gamma.tolist(), "beta": beta.tolist(), "momentum": momentum, "training": training}
        cases.append([given(x), options | {"runningMean": mean.tolist(), "runningVariance": variance.tolist()}])
        # It changes the statistics in place.
        value = functional.batch_norm(x, mean, variance, gamma, beta, training, momentum, 1e-5)
        expected.append((value, mean, variance))
    for found, (value, mean, variance) in zip(call("batchNorm", cases), expected, strict=True):
        assert_equal(found["output"], value)
        assert_close(found["runningMean"], mean)
        assert_close(found["runningVariance"], variance)


def test_receptive_field(call: Call, draw: random.Random):
    """It equals the pixels that have a gradient."""
    cases, expected = [], []
    for _ in range(CASES):
        layers = [
            {"kernel": draw.randint(1, 4), "stride": draw.randint(1, 2), "dilation": draw.randint(1, 2)}
            for _ in range(draw.randint(1, 3))
        ]
        x = torch.zeros(1, 1, 101, 1, dtype=torch.float64, requires_grad=True)
        y = x
        for layer in layers:
            weight = torch.ones(1, 1, layer["kernel"], 1, dtype=torch.float64)
            y = functional.conv2d(y, weight, stride=(layer["stride"], 1), dilation=(layer["dilation"], 1))
        (gradient,) = torch.autograd.grad(y[0, 0, 0, 0], x)
        cases.append([layers])
        expected.append(int(gradient.nonzero()[:, 2].max()) + 1)
    assert [found[-1]["field"] for found in call("receptiveFields", cases)] == expected


def test_numbers_of_parameters(call: Call, draw: random.Random):
    cases, dense, expected = [], [], []
    for _ in range(CASES):
        groups, kernel = draw.randint(1, 4), draw.randint(1, 5)
        inputs, outputs = groups * draw.randint(1, 5), groups * draw.randint(1, 5)
        cases.append([inputs, outputs, kernel, {"groups": groups}])
        dense.append([inputs, outputs])
        layers = torch.nn.Conv2d(inputs, outputs, kernel, groups=groups), torch.nn.Linear(inputs, outputs)
        expected.append([sum(each.numel() for each in layer.parameters()) for layer in layers])
    assert call("convParameters", cases) == [convolution for convolution, _ in expected]
    assert call("linearParameters", dense) == [linear for _, linear in expected]


def test_worked_examples_of_the_field(call: Call):
    x = given(torch.tensor([[[1.0, 3.0], [2.0, 4.0]]]))
    assert call("maxPool", [[x, {"kernel": 2}]])[0]["data"] == [4]
    assert call("avgPool", [[x, {"kernel": 2}]])[0]["data"] == [2.5]
    assert call("flatten", [[given(torch.zeros(3, 4, 4))]])[0]["shape"] == [48]
    marks, weight = given(torch.tensor([80.0, 90.0, 85.0])), {"shape": [1, 3], "data": [0.3, 0.5, 0.2]}
    assert call("linear", [[marks, weight, [0]]])[0]["data"] == pytest.approx([86])
