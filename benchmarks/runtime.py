"""What the runtime costs beside its engine, what it gains on image files, and how quickly it starts, in one run.

Overhead: `Classifier.logits` and the engine's own call with bound buffers, 1 thread, in turns. Predict: JPEG files to
answers, beside loops over torchvision's transforms. Startup: cold processes, without and with the kept graph. Writes
`results/runtime.json` and `.md`; each part replaces its own figures and says where it ran. What it runs is made in
`build/runtime` the first time.

    python benchmarks/runtime.py [overhead] [predict] [startup]
"""

import json
import sys
from pathlib import Path
from typing import Any

from runtime_overhead import ALLOWED_SHARE, ALLOWED_US, overhead
from runtime_predict import BYTES, CLAIM, NORMALISED, predict
from runtime_startup import CLAIM as STARTUP_CLAIM
from runtime_startup import STEPS, startup

from edgecnn.files.schema import plain
from edgecnn.runtime.site import this_site

RESULT = Path(__file__).parent / "results" / "runtime.json"
PARTS = {"overhead": overhead, "predict": predict, "startup": startup}
_VERDICTS = {True: "yes", False: "no", None: "undecided"}


def main() -> None:
    """Measure the parts that are named, or all."""
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    for part in sys.argv[1:] or PARTS:
        rows = PARTS[part]()
        result[part] = {"site": plain(this_site()), "rows": rows}
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
    RESULT.with_suffix(".md").write_text(page(result))


def page(result: dict[str, Any]) -> str:
    """Write the tables of the parts that were measured."""
    lines = ["# The runtime beside its engines", "", "Written by `benchmarks/runtime.py`. Intervals are of 95 %."]
    for part, (title, text, header, cells) in TABLES.items():
        if part in result:
            rows = [f"| {cells(row)} |" for row in result[part]["rows"]]
            rule = "|" + "---|" * (header.count("|") + 1)
            lines += ["", f"## {title}", "", text, "", _where(result[part]["site"]), "", f"| {header} |", rule, *rows]
    return "\n".join(lines) + "\n"


def _where(site: dict[str, Any]) -> str:
    """Say where a part ran."""
    engines = ", ".join(f"{name} {version}" for name, version in site["engines"].items())
    return f"On {site['processor']}, {site['cores']} cores ({', '.join(site['features'])}); {engines}."


def overhead_cells(row: dict[str, Any]) -> str:
    """Return a line of the table of overheads."""
    images = "fresh" if row["fresh"] else "the same"
    return (
        f"{row['network']} | {row['engine']} | {row['batch']} | {images} | {row['engine_us']:.1f} "
        f"| {row['ours_us']:.1f} | {_estimate(row['difference_us'], '+.1f')} | {row['allowed_us']:.1f} "
        f"| {_VERDICTS[row['holds']]}"
    )


def predict_cells(row: dict[str, Any]) -> str:
    """Return a line of the table of predictions."""
    ratios = " | ".join(_estimate(row[f"over {peer}"], ".2f") for peer in (BYTES, NORMALISED))
    setting = f"{row['threads']} × {row['streams']}"
    return f"{row['engine']} | {row['way']} | {setting} | {_estimate(row['images_per_s'], '.0f')} | {ratios}"


def startup_cells(row: dict[str, Any]) -> str:
    """Return a line of the table of starts."""
    steps = " | ".join(f"{row[step]:.2f}" for step in STEPS)
    kept = f"{row['cache_bytes'] / 1e6:.1f}" if "cache_bytes" in row else ""
    return (
        f"{row['network']} {row['precision']} | {row['engine']} | {row['cache']} | {row['seconds']:.2f} "
        f"| {_estimate(row['times_as_fast'], '.2f')} | {steps} | {row['peak_bytes'] / 1e6:.0f} | {kept}"
    )


def _estimate(found: dict[str, float], form: str) -> str:
    return f"{found['value']:{form}} [{found['low']:{form}}, {found['high']:{form}}]"


TABLES = {
    "overhead": (
        "Overhead: INT8, 1 thread, µs of a call",
        f"The claim: at most {ALLOWED_US:.0f} µs and {ALLOWED_SHARE:.0%} above the engine's own call with bound "
        "buffers, which does not even look at a fresh array. Medians of the medians of turns.",
        "network | engine | batch | array | engine | edgecnn | difference | allowed | within",
        overhead_cells,
    ),
    "predict": (
        "Predict: JPEG files of 500 × 375, ResNet-18 INT8 at 224",
        f"The claim: on two cores {CLAIM} times as many images a second as the loop over torchvision's bytes, with the "
        "better engine and setting. All ways give the engine the same pixels and get the same answers.",
        f"engine | way | threads × streams | images/s | over {BYTES} | over {NORMALISED}",
        predict_cells,
    ),
    "startup": (
        "Startup: a cold process, from its start to its first answer",
        f"The claim: the second start of VGG-16 {STARTUP_CLAIM:.0f} times as fast as without the kept graph. Medians "
        "of seconds; every byte of bundle and kept graph is hashed before it is used.",
        "network | engine | kept graph | seconds | times as fast | interpreter | imports | open_bundle | import engine "
        "| open session | first run | peak, MB | kept, MB",
        startup_cells,
    ),
}


if __name__ == "__main__":
    main()
