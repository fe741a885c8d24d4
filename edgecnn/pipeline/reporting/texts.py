"""Texts and figures of pages: preprocessing in steps, sizes, and the content of charts."""

from edgecnn.bundle.paired_drop import PairedDrop
from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.pipeline.reporting.answers import Metrics

Step = tuple[str, dict[str, str]]
"""A step of a preprocessing: its name in the texts `report.step.NAME`, and their values."""


def steps_of(preprocessing: Preprocessing) -> list[Step]:
    """Return the steps of a preprocessing, in order."""
    steps: list[Step] = [(preprocessing.mode, {})]
    if preprocessing.resize is not None:
        steps.append(_resize(preprocessing.resize))
    if preprocessing.crop is not None:
        steps.append(("crop", {"size": _sides(preprocessing.crop)}))
    numbers = {"mean": _numbers(preprocessing.mean), "deviation": _numbers(preprocessing.std)}
    return [*steps, ("normalize", numbers)]


def _resize(resize: Resize) -> Step:
    size, values = resize.size, {"filter": resize.interpolation}
    if resize.fit == "letterbox":
        return "letterbox", values | {"size": _sides(size), "fill": _numbers(resize.fill)}
    if len(size) == 2:
        return "squash", values | {"size": _sides(size)}
    return resize.fit or "shorter", values | {"size": str(size[0])}


def _sides(size: tuple[int, ...]) -> str:
    return " × ".join(map(str, size))


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def size_text(size_bytes: int) -> str:
    """Return a size in KiB or MiB."""
    return f"{size_bytes / 1024:,.0f} KiB" if size_bytes < 1 << 20 else f"{size_bytes / (1 << 20):,.1f} MiB"


def time_text(time: str) -> str:
    """Return a UTC time of a record, ISO 8601, in minutes."""
    return f"{time[:16].replace('T', ' ')} UTC"


def points_text(drop: PairedDrop) -> str:
    """Return a drop in percentage points with its 95 % interval, without a unit."""
    return str(drop).replace(" points", "")


def reliability_of(name: str, metrics: Metrics) -> dict[str, object]:
    """Return the content of a reliability diagram: the filled bins of the calibration error, as JSON values."""
    filled = [each for each in metrics.bins if each.images]
    return {
        "name": name,
        "confidence": [each.confidence for each in filled],
        "accuracy": [each.accuracy for each in filled],
        "images": [each.images for each in filled],
    }
