"""Measure batch jobs: throughput, memory, and the cost on a cluster; and the overhead of Ray Serve.

Writes the data and `results/batch.md`.

throughput: a job whose images are already decoded, a job on JPEG files of 500 × 375 pixels, decoding alone, and the
engine alone with the same batches and threads, in turns. The share of the engine's throughput shows what a job costs.
memory: the largest memory of `edgecnn batch` with LeNet on folders of 10³, 10⁵ and 10⁶ small images.
scale: jobs with ResNet-50 on Ray clusters of one and two nodes with one core each, on this machine. The cost model of
`scale.py` is fitted to some of them, and predicts the others.
serving: one LeNet request to `edgecnn serve`, to two behind HAProxy, and to `edgecnn.ray.deployment` on Ray Serve.

    python -m benchmarks.batch.run [PART…]    # on an idle machine; the default is all
"""

from collections.abc import Callable
from typing import Any

from benchmarks.batch.memory import measure_memory
from benchmarks.batch.page import page
from benchmarks.batch.scale import measure_scale
from benchmarks.batch.serving import measure_serving
from benchmarks.batch.throughput import measure_throughput
from benchmarks.common.results import command_line, origin, output

PARTS: dict[str, Callable[[], Any]] = {
    "throughput": measure_throughput,
    "memory": measure_memory,
    "scale": measure_scale,
    "serving": measure_serving,
}


def main() -> None:
    """Measure the selected parts, or all."""
    parser = command_line(__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", choices=tuple(PARTS), help=", ".join(PARTS))
    options = parser.parse_args()
    out = output("batch", options.out)
    for name in options.parts or PARTS:
        result = out.read() | {name: origin() | {"rows": PARTS[name]()}}
        out.write(result, page(result))


if __name__ == "__main__":
    main()
