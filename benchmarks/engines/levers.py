"""Measure 4-bit and low-rank linear layers: speed, size and agreement of each way, from one set of trained weights.

Each network has one checkpoint in `zoo/`. edgecnn's bundles and the peers' models are made from it with the same
calibration images, edgecnn's with the gate on. Agreement and drop compare with PyTorch on the test images of
Fashion-MNIST. Each way runs with one and with two threads. All ways of a network take turns. All processes are
started several times, because the place of the weights in memory differs from process to process. All ways have their
weights on huge pages; `EDGECNN_HUGE_PAGES=0` turns that off for all. Writes the data and `results/levers.md` after each
network.

    pip install nncf
    python -m benchmarks.engines.levers build [NETWORK…] --peers-python PEERS/bin/python   # see mobile_peers.py
    python -m benchmarks.engines.levers [NETWORK…] --peers-python PEERS/bin/python         # on an idle machine
"""

import contextlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.common.results import command_line, origin, output
from benchmarks.engines.answers import logits_of
from benchmarks.engines.lever_models import CHECKPOINTS, OPTIONS, Case
from benchmarks.engines.levers_page import Measured, Network, page
from benchmarks.engines.mobile_peers import EXECUTORCH, LITERT, NCNN, TORCHAO, add_peers_python, use_peers_python
from benchmarks.engines.peers import (
    KINDS,
    MODULE,
    NNCF_INT4,
    NNCF_IR,
    NNCF_ONNX,
    ORT_INT4,
    ORT_INT8,
    SET_THREADS,
    bundle_path,
)
from edgecnn.bundle.paired_drop import PairedDrop
from edgecnn.errors import EngineError
from edgecnn.files.schema import plain
from edgecnn.runtime.rates import Rate, rate
from edgecnn.runtime.setting import Setting
from edgecnn.runtime.verification.paired import paired_drop
from edgecnn.tuning.measuring.estimates import medians_ms, ratio, speed
from edgecnn.tuning.measuring.process import MeasuringProcess
from edgecnn.tuning.measuring.turn import Turn, interleave, settle

PROCESSES, ROUNDS, TURN_S = 5, 3, 0.25
"""Fresh processes of each way, and the rounds in which they take turns."""
_WARM_UP_S = 2.0
THREADS = (1, 2)
IMAGES = 10_000
_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Way:
    """A model on an engine.

    Attributes:
        name: in the tables.
        engine: edgecnn's engine, or a kind of `peers.py`.
        file: a quantized bundle of edgecnn, or a file of a peer.
    """

    name: str
    engine: str
    file: str

    @property
    def is_ours(self) -> bool:
        """Whether the model is a bundle of edgecnn."""
        return self.file in OPTIONS

    def path(self, folder: Path) -> Path:
        """Return the bundle or the file."""
        return bundle_path(folder, self.file) if self.is_ours else folder / self.file

    def size_bytes(self, folder: Path) -> int:
        """Return the size of the model, with its weights."""
        path = self.path(folder)
        files = [path / "model.onnx"] if self.is_ours else [path, path.with_suffix(".bin")]
        return sum(file.stat().st_size for file in files if file.exists())

    def setting(self, threads: int) -> Setting:
        """Return the setting with a number of threads."""
        return Setting(self.engine if self.is_ours else self.engine + SET_THREADS, threads=threads)


_ENGINES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
_OURS = {
    "int8": "INT8",
    "int4": "INT8, linear layers in 4 bits",
    "low-rank": "INT8, low rank",
    "low-rank-int4": "INT8, low rank, linear layers in 4 bits",
}
WAYS = (
    *(
        Way(f"edgecnn {text} on {name}", engine, file)
        for file, text in _OURS.items()
        for engine, name in _ENGINES.items()
    ),
    *(
        Way(f"{text} on {name}", engine, file)
        for file, text in {ORT_INT8: "`quantize_static`", ORT_INT4: "`quantize_static`, 4 bits"}.items()
        for engine, name in _ENGINES.items()
    ),
    Way("NNCF on OpenVINO", "openvino", NNCF_IR),
    Way("NNCF on ONNX Runtime", "onnxruntime", NNCF_ONNX),
    Way("NNCF, 4 bits on OpenVINO", "openvino", NNCF_INT4),
    Way("LiteRT", "litert", LITERT),
    Way("ExecuTorch, XNNPACK", "executorch", EXECUTORCH),
)
ONCE = (Way("torchao PT2E, Inductor", "torchao", TORCHAO), Way("ncnn, FP16 weights", "ncnn", NCNN))
"""Further peers, with `--once`."""


def main() -> None:
    """Build or measure the selected networks, or all."""
    parser = command_line(__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NETWORK", choices=("build", *CHECKPOINTS), help="build, and networks"
    )
    add_peers_python(parser)
    parser.add_argument("--once", action="store_true", help="measure torchao and ncnn too")
    parser.add_argument("--images", type=int, default=IMAGES, metavar="N", help="test images [default: 10000]")
    parser.add_argument("--processes", type=int, default=PROCESSES, metavar="N", help="starts of each process")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help="rounds after each start")
    options = parser.parse_args()
    use_peers_python(options)
    ways = (*WAYS, *(ONCE if options.once else ()))
    is_build = options.names[:1] == ["build"]
    for case in map(Case, options.names[is_build:] or CHECKPOINTS):
        if not case.is_there:
            print(f"{case.network}: skipped, {case.checkpoint} is missing", flush=True)
            continue
        case.build(mobile=tuple(way.file for way in ways if way.engine in ("litert", "executorch", "torchao", "ncnn")))
        if not is_build:
            found = measure(case, ways, images=options.images, processes=options.processes, rounds=options.rounds)
            write(found, options.out)


def write(network: Network, folder: Path | None) -> None:
    """Replace the results of one network."""
    out = output("levers", folder)
    networks = out.read().get("networks", {}) | {network.name: plain(network)}
    result = origin() | {"networks": {name: networks[name] for name in CHECKPOINTS if name in networks}}
    out.write(result, page(result))


def measure(case: Case, ways: Sequence[Way], *, images: int, processes: int, rounds: int) -> Network:
    """Measure every way of a network whose model exists."""
    existing = [way for way in ways if way.path(case.folder).exists()]
    failed = {way.name: "no model" for way in ways if way not in existing}
    answers = _answers(case, existing, images, failed) if case.is_trained else {}
    rows: list[Measured] = []
    busy = False
    for threads in THREADS:
        running = [way for way in existing if way.name not in failed]
        turns, huge = _turns(case, running, threads, processes=processes, rounds=rounds, failed=failed)
        busy |= settle(list(turns.values()), processes * rounds).is_busy
        chosen = {name: speed(taken) for name, taken in turns.items()}
        finished = [way for way in running if way.name in chosen]
        best = min((way.name for way in finished if not way.is_ours), key=lambda name: chosen[name].p50_ms.value)
        for way in finished:
            found, (agreement, drop) = chosen[way.name], answers.get(way.name, (None, None))
            over = ratio(_of_processes(turns[best], processes), _of_processes(turns[way.name], processes))
            rows.append(
                Measured(
                    way=way.name,
                    is_ours=way.is_ours,
                    is_best_peer=way.name == best,
                    threads=threads,
                    size_bytes=way.size_bytes(case.folder),
                    huge_bytes=huge[way.name],
                    p50_ms=found.p50_ms,
                    over_best_peer=over,
                    agreement=agreement,
                    drop=drop,
                )
            )
            print(f"{case.network}, {threads} threads, {way.name}: {found.p50_ms} ms, {over} × as fast", flush=True)
    return Network(case.network, case.is_trained, busy, tuple(rows), failed)


def _answers(
    case: Case, ways: Sequence[Way], images: int, failed: dict[str, str]
) -> dict[str, tuple[Rate, PairedDrop]]:
    """Return the agreement with PyTorch and the drop of each way, on the test images."""
    pixels, expected, targets = case.test_images(images)
    labels = expected.argmax(axis=1)
    found: dict[str, tuple[Rate, PairedDrop]] = {}
    for way in ways:
        out = case.folder / f"logits-{len(labels)}" / f"{way.engine}-{way.file}.npy"
        try:
            answers = logits_of(way.path(case.folder), way.setting(max(THREADS)), pixels, out).argmax(axis=1)
        except RuntimeError as error:
            failed[way.name] = str(error)
            continue
        agreement = rate(int((answers == labels).sum()), len(labels))
        found[way.name] = agreement, paired_drop(labels == targets, answers == targets)
        print(f"{case.network}, {way.name}: agreement {agreement}", flush=True)
    return found


def _turns(
    case: Case, ways: Sequence[Way], threads: int, *, processes: int, rounds: int, failed: dict[str, str]
) -> tuple[dict[str, list[Turn]], dict[str, int | None]]:
    """Return the turns of each way in the same rounds, and its bytes on huge pages."""
    turns: dict[str, list[Turn]] = {way.name: [] for way in ways}
    huge: dict[str, int | None] = {}
    for seed in range(processes):
        with contextlib.ExitStack() as stack:
            workers: dict[str, MeasuringProcess] = {}
            for way in random.Random(seed).sample(ways, len(ways)):  # noqa: S311  # not for security
                if way.name in failed:
                    continue
                try:
                    workers[way.name] = stack.enter_context(_opened(way, case.folder, threads))
                    workers[way.name].warm_up(_WARM_UP_S)
                except EngineError as error:
                    failed[way.name] = str(error)
                    workers.pop(way.name, None)
            huge |= {name: worker.memory().huge_page_bytes for name, worker in workers.items()}
            taken = interleave(list(workers.values()), rounds=rounds, seconds=TURN_S, seed=seed)
            for name, found in zip(workers, taken, strict=True):
                turns[name] += found
    return {name: taken for name, taken in turns.items() if name not in failed}, huge


def _of_processes(turns: Sequence[Turn], processes: int) -> list[float]:
    """Return the median time of each process: the unit that is resampled."""
    return [float(np.median(each)) for each in np.array_split(medians_ms(turns), processes)]


def _opened(way: Way, folder: Path, threads: int) -> MeasuringProcess:
    return MeasuringProcess(
        way.path(folder), way.setting(threads), modules=dict.fromkeys(KINDS, MODULE) if not way.is_ours else None,
        timeout_s=_TIMEOUT_S,
    )  # fmt: skip


if __name__ == "__main__":
    main()
