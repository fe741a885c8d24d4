"""The page of `run.py`."""

from collections.abc import Mapping
from typing import Any

from benchmarks.batch.throughput import DECODED, DECODING, ENGINE, JPEG
from benchmarks.common.tables import digits, ratio, table, where


def page(result: Mapping[str, Any]) -> str:
    """Return the page with the parts that were measured."""
    parts = ["# Batch jobs", "`python -m benchmarks.batch.run`; see its `--help` for the parts."]
    for name, write in (("throughput", _throughput), ("memory", _memory), ("scale", _scale), ("serving", _serving)):
        if name in result:
            parts += [f"## {name.capitalize()}", where(result[name]), *write(result[name]["rows"])]
    return "\n\n".join(parts) + "\n"


def _throughput(rows: list[dict[str, Any]]) -> list[str]:
    header = (
        "network, INT8", "engine", "engine alone, images/s", "decoded before", "share", "JPEG or PNG files", "share",
        "decoding alone",
    )  # fmt: skip
    cells = [
        (
            row["network"],
            row["engine"],
            digits(row["images_per_s"][ENGINE]),
            digits(row["images_per_s"][DECODED]),
            ratio(**row["share"][DECODED]),
            digits(row["images_per_s"][JPEG]),
            ratio(**row["share"][JPEG]),
            digits(row["images_per_s"][DECODING]),
        )
        for row in rows
    ]
    return [
        "A share is the throughput of a job over that of the engine alone. Decoding and inference share the cores, so "
        "a job on files reaches at most 1 / (1 / engine + 1 / decoding) images per second.",
        table(header, cells),
    ]


def _memory(rows: list[dict[str, Any]]) -> list[str]:
    return [
        "`edgecnn batch` with LeNet and Parquet shards on images of 8 × 8 pixels in one flat folder.",
        table(("images", "largest memory, MiB"), [(f"{row['images']:,}", digits(row["peak_mib"])) for row in rows]),
    ]


def _scale(found: Mapping[str, Any]) -> list[str]:
    model = found["model"]
    cells = [
        (
            f"{run['images']:,}",
            str(run["shard_images"]),
            str(run["actors"]),
            digits(run["seconds"]),
            digits(run["predicted"]),
            f"{run['predicted'] / run['seconds'] - 1:+.1%}",
            "fitted" if run["is_fitted"] else "held out",
        )
        for run in found["runs"]
    ]
    return [
        f"{found['network']} INT8 on JPEG files of 500 × 375 pixels, one core per actor. Model: {model['start']:.1f} s "
        f"to start, {1000 * model['per_image']:.1f} ms per image and core, {model['slowest']:.2f} × as long with one "
        "actor on each core, beside the driver.",
        table(("images", "images of a shard", "actors", "seconds", "predicted", "error", "run"), cells),
    ]


def _serving(rows: list[dict[str, Any]]) -> list[str]:
    cells = [
        (row["way"], digits(row["ms"]), ratio(**row["over_direct"]), digits(row["requests_per_s"])) for row in rows
    ]
    return [
        "LeNet INT8 on ONNX Runtime with one thread, one image of 8 × 8 pixels as JSON. Clients and servers share the "
        "cores.",
        table(("way", "ms, one connection", "as long as edgecnn serve", "requests/s, eight connections"), cells),
    ]
