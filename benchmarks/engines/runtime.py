"""Measure the runtime: overhead over the engine, speed on image files, and cold starts.

Overhead: `Classifier.logits` and the engine's own call with bound buffers, 1 thread, in turns. Predict: JPEG files to
labels, compared with loops over torchvision's transforms. Startup: cold processes, without and with the cached graph.
Writes the data and `results/runtime.md`; each part replaces its own figures and names its machine. The first run builds
the models in `build/runtime`.

    python -m benchmarks.engines.runtime [overhead] [predict] [startup]
"""

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.common.results import command_line, origin, output
from benchmarks.common.tables import interval, named, ratio, table
from benchmarks.engines.image_files import BYTES, CLAIM, NORMALISED, predict
from benchmarks.engines.overhead import ALLOWED_SHARE, ALLOWED_US, overhead
from benchmarks.engines.startup import CLAIM as STARTUP_CLAIM
from benchmarks.engines.startup import STEPS, startup

PARTS = {"overhead": overhead, "predict": predict, "startup": startup}
_VERDICTS = {True: "yes", False: "no", None: "undecided"}


def main() -> None:
    """Measure the selected parts, or all."""
    parser = command_line(__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", choices=PARTS, help=f"any of {', '.join(PARTS)}")
    options = parser.parse_args()
    out = output("runtime", options.out)
    result = out.read()
    for part in options.parts or PARTS:
        result[part] = origin() | {"rows": PARTS[part]()}
        out.write(result, page(result))


def page(result: dict[str, Any]) -> str:
    """Write the tables of the measured parts."""
    lines = [
        "# Overhead of the runtime",
        "",
        "Written by `python -m benchmarks.engines.runtime`. Intervals are 95 %.",
    ]
    for part, (title, text, header, cells) in TABLES.items():
        if part in result:
            rows = table(header, [cells(row) for row in result[part]["rows"]])
            lines += ["", f"## {title}", "", text, "", _where(result[part]["site"]), "", rows]
    return "\n".join(lines) + "\n"


def _where(site: dict[str, Any]) -> str:
    """Format the machine of a part."""
    features = ", ".join(site["features"])
    return f"On {site['processor']}, {site['cores']} cores ({features}); {named(site['engines'])}."


def overhead_cells(row: dict[str, Any]) -> list[str]:
    """Return a row of the overhead table."""
    return [
        row["network"],
        row["engine"],
        str(row["batch"]),
        "fresh" if row["fresh"] else "the same",
        f"{row['engine_us']:.1f}",
        f"{row['ours_us']:.1f}",
        interval(**row["difference_us"], show="{:+.1f}".format),
        f"{row['allowed_us']:.1f}",
        _VERDICTS[row["holds"]],
    ]


def predict_cells(row: dict[str, Any]) -> list[str]:
    """Return a row of the predict table."""
    ratios = (ratio(**row[f"over {peer}"]) for peer in (BYTES, NORMALISED))
    speed = interval(**row["images_per_s"], show="{:.0f}".format)
    return [row["engine"], row["way"], f"{row['threads']} × {row['instances']}", speed, *ratios]


def startup_cells(row: dict[str, Any]) -> list[str]:
    """Return a row of the startup table."""
    return [
        f"{row['network']} {row['precision']}",
        row["engine"],
        row["cache"],
        f"{row['seconds']:.2f}",
        ratio(**row["times_as_fast"]),
        *(f"{row[step]:.2f}" for step in STEPS),
        f"{row['peak_bytes'] / 1e6:.0f}",
        f"{row['cache_bytes'] / 1e6:.1f}" if "cache_bytes" in row else "",
    ]


Cells = Callable[[dict[str, Any]], list[str]]
TABLES: dict[str, tuple[str, str, Sequence[str], Cells]] = {
    "overhead": (
        "Overhead: INT8, 1 thread, µs per call",
        f"Claim: at most {ALLOWED_US:.0f} µs and {ALLOWED_SHARE:.0%} above the engine's own call with bound "
        "buffers, which does not read a new array. Medians of the medians of turns.",
        ("network", "engine", "batch", "array", "engine", "edgecnn", "difference", "allowed", "within"),
        overhead_cells,
    ),
    "predict": (
        "Predict: JPEG files of 500 × 375, ResNet-18 INT8 at 224",
        f"Claim: on two cores {CLAIM} times the images per second of the loop over torchvision's bytes, with the "
        "better engine and setting. All candidates give the engine the same pixels and get the same answers.",
        ("engine", "way", "threads × instances", "images/s", f"over {BYTES}", f"over {NORMALISED}"),
        predict_cells,
    ),
    "startup": (
        "Startup: a cold process, from its start to its first answer",
        f"Claim: the second start of VGG-16 is {STARTUP_CLAIM:.0f} times as fast as without the cached graph. Medians "
        "in seconds. Every byte of the bundle and the cached graph is hashed before use.",
        (
            *("network", "engine", "cached graph", "seconds", "times as fast"),
            *("interpreter", "imports", "open_bundle", "import engine", "open session", "first run"),
            *("peak, MB", "cache, MB"),
        ),
        startup_cells,
    ),
}


if __name__ == "__main__":
    main()
