"""Takes the figures of the five architectures from the pages that publish them."""

import re

from benchmarks.common.results import REPOSITORY
from benchmarks.learning.runs import write
from edgecnn.learning.architectures.published import Accuracy, Latency, Published

_ZOO, _ENGINES = REPOSITORY / "docs" / "zoo.md", REPOSITORY / "benchmarks" / "results" / "engines.md"
_ARCHITECTURES = ("lenet", "alexnet", "vgg11_bn", "googlenet", "resnet18")
_TIMED = ("lenet", "alexnet", "vgg16", "googlenet", "resnet18")
_WAYS = {"edgecnn": None, "ONNX Runtime FP32": ("FP32", "onnxruntime"), "PyTorch eager": ("FP32", "PyTorch")}
"""Precision and engine of each way; None for the tuned ones."""

_COLUMNS = 8
"""Columns of the table of all candidates, of which the last is empty or a verdict."""

_INTERVAL = re.compile(r"([\d.]+) \[([\d.]+), ([\d.]+)\]")


def publications() -> None:
    """Write `published.json`."""
    write("published", published())


def published() -> Published:
    """Return the figures."""
    zoo = {row[0]: row for row in _rows(_ZOO.read_text())}
    engines = _ENGINES.read_text()
    machine = re.search(r"^- resnet18: [^,]*, (.*)$", engines, re.MULTILINE)
    if machine is None:
        raise ValueError(f"{_ENGINES} has no machine for resnet18")
    return Published(
        "python -m benchmarks.learning.run published",
        tuple(_accuracy(zoo[f"{name}-fashion-mnist"]) for name in _ARCHITECTURES),
        _accuracy(zoo["resnet18-cats-vs-dogs"]),
        tuple(_latency(name, way, engines) for name in _TIMED for way in _WAYS),
        machine[1],
    )


def _rows(page: str) -> list[list[str]]:
    """Return the cells of all tables."""
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def _accuracy(row: list[str]) -> Accuracy:
    model, size, top1, interval, _, parameters, macs, epochs, *_ = row
    low, high = interval.split(" to ")
    return Accuracy(
        model,
        model.split("-")[0],
        int(size),
        _share(top1),
        _share(low),
        _share(high),
        int(parameters.replace(",", "")),
        float(macs.removesuffix(" M")),
        int(epochs),
    )


def _share(percent: str) -> float:
    return round(float(percent.removesuffix("%")) / 100, 4)


def _latency(name: str, way: str, page: str) -> Latency:
    """Return one row of the table of all candidates, which has the threads and the interval."""
    rows = [row for row in _rows(page) if row[0] == name]
    row = next(row for row in rows if row[1] == way and len(row) == _COLUMNS)
    found = _INTERVAL.match(row[4])
    tuned = re.search(r"(\w+), (\w+), \d+ thread", next(row[-1] for row in rows if "**" in row[-1]))
    if found is None or tuned is None:
        raise ValueError(f"{_ENGINES} has no latency of {name} with {way}")
    precision, engine = _WAYS[way] or tuned.groups()
    threads = None if row[3] == "default" else int(row[3])
    size = 32 if name == "lenet" else 224
    return Latency(name, size, way, precision, engine, threads, *map(float, found.groups()))
