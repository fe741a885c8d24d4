"""Measure cascades on Fashion-MNIST: agreement with PyTorch, drop, share that runs again, and cost, on both engines.

`edgecnn cascade` makes the cascades: INT8 before FP32 of each network, and a small network before ResNet-18. The
checkpoints in `zoo/` are from `train --reserve`, which leaves images for threshold and bound; or from a copy of the
data set with fewer training images, and the rest of them are in another copy (`EDGECNN_DATA`), used with `--unseen`.
Each pair gets the largest agreement that these images can show. Agreement, drop and cost are measured on the 10,000
test images: the cascade and the INT8 bundle take turns, each in its own process, which is started several times.
Writes the data and `results/cascades.md` after each pair.

    python -m benchmarks.quantization.cascades build [PAIR…]
    python -m benchmarks.quantization.cascades [PAIR…]        # on an idle machine
"""

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.common.results import command_line, origin, output
from benchmarks.engines.lever_models import FASHION_MNIST, Case
from benchmarks.engines.peers import bundle_path
from benchmarks.quantization.cascades_page import Cost, Measured, Pair, page
from benchmarks.quantization.networks import ENGINES
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import EdgecnnError, ProofFailed, UsageError
from edgecnn.files.schema import plain
from edgecnn.pipeline.cascades.cascading import cascade
from edgecnn.pipeline.cascades.options import CascadeOptions
from edgecnn.pipeline.data.sources import open_source
from edgecnn.runtime.cascade import counts_of
from edgecnn.runtime.classifier import run_batches
from edgecnn.runtime.engines.engine import SessionOptions
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.rates import rate
from edgecnn.runtime.setting import Setting
from edgecnn.runtime.verification.paired import paired_drop
from edgecnn.tuning.measuring.estimates import ratio
from edgecnn.tuning.measuring.process import MeasuringProcess
from edgecnn.tuning.measuring.turn import Turn, interleave, settle

NETWORKS = ("lenet", "alexnet", "vgg11_bn", "googlenet", "resnet18")
SAME_REFERENCE = (99.9, 99.8, 99.7, 99.5)
"""Agreements in percent for INT8 before FP32, the first that the images can show."""
TWO_NETWORKS = (99.5, 99.0)
PAIRS = (
    *(Pair(name, name, "int8", name, "fp32", SAME_REFERENCE) for name in NETWORKS),
    *(
        Pair(f"lenet-{fast}-resnet18-{accurate}", "lenet", fast, "resnet18", accurate, TWO_NETWORKS)
        for fast in ("int8", "fp32")
        for accurate in ("int8", "fp32")
    ),
)
PROCESSES, ROUNDS, TURN_S = 3, 4, 0.5
THREADS = (1, 2)
IMAGES = 10_000
_WARM_UP_S = 2.0


def main() -> None:
    """Build or measure the selected pairs, or all."""
    known = {pair.name: pair for pair in PAIRS}
    parser = command_line(__doc__)
    parser.add_argument("names", nargs="*", metavar="PAIR", choices=("build", *known), help=f"of {', '.join(known)}")
    parser.add_argument("--images", type=int, default=IMAGES, metavar="N", help="test images [default: 10000]")
    parser.add_argument("--processes", type=int, default=PROCESSES, metavar="N", help="starts of each process")
    parser.add_argument("--unseen", action="store_true", help="state that the training images are new to the networks")
    options = parser.parse_args()
    is_build = options.names[:1] == ["build"]
    for name in options.names[is_build:] or known:
        try:
            made = built(known[name], unseen=options.unseen)
        except EdgecnnError as error:
            print(f"{name}: {error}", flush=True)
            write(name, str(error), options.out)
        else:
            if not is_build:
                write(name, measure(known[name], made, options), options.out)


def built(pair: Pair, *, unseen: bool = False) -> Bundle:
    """Return the cascade of a pair; build it if it is missing.

    Raises:
        UsageError: a checkpoint is missing.
        ProofFailed: the images cannot show any of the agreements, or one graph alone is enough.
    """
    fast, accurate = Case(pair.fast), Case(pair.accurate)
    for case, precision in ((fast, pair.fast_precision), (accurate, pair.accurate_precision)):
        if not case.is_trained:
            raise UsageError(f"{case.checkpoint} is missing: train it with `make zoo`")
        case.build_bundles({precision, "int8"} - {"fp32"})
    refusal: EdgecnnError = ProofFailed("no agreement is given")
    for agreement in pair.agreements:
        out = accurate.folder / f"cascade-{pair.name}-{agreement:g}"
        if out.exists():
            return open_bundle(out)
        try:
            made = cascade(
                open_bundle(bundle_path(fast.folder, pair.fast_precision)),
                open_bundle(bundle_path(accurate.folder, pair.accurate_precision)),
                out,
                open_source(FASHION_MNIST),
                reference=None
                if pair.accurate_precision == "fp32"
                else open_bundle(bundle_path(accurate.folder, "fp32")),
                options=CascadeOptions(min_agreement=agreement, unseen=unseen),
            )
        except (ProofFailed, UsageError) as error:
            refusal = error
            print(f"{pair.name} at {agreement} %: {error}", flush=True)
        else:
            return made.bundle
    raise refusal


def measure(pair: Pair, made: Bundle, options: argparse.Namespace) -> Measured:
    """Measure answers and cost of a cascade on both engines."""
    case = Case(pair.accurate)
    pixels, expected, targets = case.test_images(options.images)
    int8 = open_bundle(bundle_path(case.folder, "int8"))
    answers = {}
    for engine in ENGINES:
        labels, again = _answers(made, engine, pixels)
        alone, _ = _answers(open_bundle(bundle_path(Case(pair.fast).folder, pair.fast_precision)), engine, pixels)
        answers[engine] = {
            "agreement": rate(int((labels == expected.argmax(axis=1)).sum()), len(labels)),
            "fast_agreement": rate(int((alone == expected.argmax(axis=1)).sum()), len(alone)),
            "drop": paired_drop(expected.argmax(axis=1) == targets, labels == targets),
            "share_again": again / len(labels),
        }
        print(pair.name, engine, {name: str(each) for name, each in answers[engine].items()}, flush=True)
    costs = [
        _cost(made, int8, Setting(engine, threads=threads), pixels, options.processes)
        for engine in ENGINES
        for threads in THREADS
    ]
    record = made.proof().cascade
    assert record is not None
    return Measured(pair, record.threshold, record.max_disagreement, answers, tuple(costs))


def _answers(bundle: Bundle, engine: str, pixels: Path) -> tuple[np.ndarray, int]:
    """Return the labels of all images, int64 [N], and how many images the accurate graph ran."""
    session = open_session(bundle, engine=engine, options=SessionOptions())
    images = np.load(pixels, mmap_mode="r")
    labels = run_batches(session, images, classes=len(bundle.manifest.labels)).argmax(axis=1)
    counts = counts_of(session)
    session.close()
    return labels, 0 if counts is None else counts.again


def _cost(made: Bundle, int8: Bundle, setting: Setting, pixels: Path, processes: int) -> Cost:
    """Time the cascade and the INT8 bundle of the accurate network on the same images, one image a run."""
    means: tuple[list[float], list[float]] = ([], [])
    all_turns: tuple[list[Turn], list[Turn]] = ([], [])
    for seed in range(processes):
        with contextlib.ExitStack() as stack:
            workers = [stack.enter_context(worker) for worker in _opened((made, int8), setting, pixels)]
            taken = interleave(workers, rounds=ROUNDS, seconds=TURN_S, seed=seed)
        for earlier, mean, turns in zip(all_turns, means, taken, strict=True):
            earlier.extend(turns)
            mean.append(float(np.mean([time for turn in turns for time in turn.times_ms])))
    found = Cost(
        engine=setting.engine,
        threads=setting.threads,
        cascade_ms=float(np.median(means[0])),
        int8_ms=float(np.median(means[1])),
        over_int8=ratio(*means),
        is_busy=settle(all_turns, processes * ROUNDS).is_busy,
    )
    print(f"  {setting}: {found.cascade_ms:.3f} ms, {found.over_int8} of INT8's {found.int8_ms:.3f} ms", flush=True)
    return found


def _opened(bundles: Sequence[Bundle], setting: Setting, pixels: Path) -> Iterator[MeasuringProcess]:
    for bundle in bundles:
        worker = MeasuringProcess(bundle.path, setting, images=pixels)
        worker.warm_up(_WARM_UP_S)
        yield worker


def write(name: str, found: Measured | str, folder: Path | None) -> None:
    """Replace the results of one pair; a text is the reason for a missing cascade."""
    out = output("cascades", folder)
    pairs = out.read().get("pairs", {}) | {name: plain(found)}
    result = origin() | {"pairs": {pair.name: pairs[pair.name] for pair in PAIRS if pair.name in pairs}}
    out.write(result, page(result))


if __name__ == "__main__":
    main()
