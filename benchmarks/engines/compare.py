"""Compare the latency of seven networks in PyTorch, ONNX Runtime, OpenVINO, and edgecnn with its tuned setting.

All candidates are measured in one run, in turns, each in its own process: PyTorch eager and compiled; ONNX Runtime and
OpenVINO on PyTorch's ONNX export, and on INT8 models from their own quantizers, with linear layers in INT8 and in 4
bits; INT8 models of LiteRT and ExecuTorch; each with its defaults; edgecnn with the choice of `tune` from its FP32 and
INT8 bundles, and from one with linear layers in 4 bits. Batch 1, random weights, because latency does not depend on
them; `levers.py` measures trained networks. Writes the data and `results/engines.md` after each network, and replaces
only that network's rows. PEERS is the virtual environment of `mobile_peers.py`; without it, its peers are left out.

    pip install nncf
    python -m benchmarks.engines.compare build [NETWORK…] --peers-python PEERS/bin/python    # existing files are kept
    python -m benchmarks.engines.compare [NETWORK…] --peers-python PEERS/bin/python          # on an idle machine
"""

import contextlib
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.common.results import BUILD, Output, command_line, output
from benchmarks.engines.mobile_peers import EXECUTORCH, LITERT, add_peers_python, use_peers_python
from benchmarks.engines.page import EAGER, NORMALIZING, OURS, Result, Results, Way, page, summary
from benchmarks.engines.peers import (
    COMPILED,
    FP32,
    KINDS,
    MODULE,
    NNCF_INT4,
    NNCF_IR,
    NNCF_ONNX,
    ORT_INT4,
    ORT_INT8,
    bundle_path,
)
from edgecnn.bundle.manifest import utc_now
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import EngineError
from edgecnn.files import schema
from edgecnn.host.resources import memory_limit, usable_cores
from edgecnn.pipeline.versions import versions
from edgecnn.runtime.setting import Setting
from edgecnn.runtime.site import this_site
from edgecnn.tuning.measuring.estimates import medians_ms, ratio, speed
from edgecnn.tuning.measuring.peak import machine_peak
from edgecnn.tuning.measuring.process import MeasuringProcess
from edgecnn.tuning.measuring.steady import WarmUp
from edgecnn.tuning.measuring.turn import Turn, interleave
from edgecnn.tuning.measuring.worker import Opened

MODELS = BUILD / "engines"
BUNDLES = ("fp32", "int8", "int4")
"""edgecnn's bundles, from which `tune` chooses; see `models.py`."""
NETWORKS = ("lenet", "alexnet", "vgg16", "googlenet", "resnet18", "resnet50", "resnet152")
PEERS = {
    EAGER: ("torch-eager", None),
    "torch.compile": ("torch-compile", None),
    "ONNX Runtime FP32": ("onnxruntime", FP32),
    "OpenVINO default": ("openvino", FP32),
    "OpenVINO f32": ("openvino-f32", FP32),
    "`quantize_static` on ONNX Runtime": ("onnxruntime", ORT_INT8),
    "`quantize_static` on OpenVINO": ("openvino", ORT_INT8),
    "`quantize_static`, 4 bits on ONNX Runtime": ("onnxruntime", ORT_INT4),
    "NNCF on OpenVINO": ("openvino", NNCF_IR),
    "NNCF on ONNX Runtime": ("onnxruntime", NNCF_ONNX),
    "NNCF, 4 bits on OpenVINO": ("openvino", NNCF_INT4),
    "LiteRT": ("litert", LITERT),
    "ExecuTorch, XNNPACK": ("executorch", EXECUTORCH),
    NORMALIZING: ("normalizing", None),
}
"""Name in tables -> the opener in `peers.py` and the file; None for the network of edgecnn's FP32 bundle."""

PROCESSES, ROUNDS, TURN_S = 7, 4, 0.3
"""Fresh processes of each way, and the rounds in which they take turns."""
TUNING_S = 60.0
_PEAKS = 3
_TIMEOUT_S = 900.0  # torch.compile may have to compile everything
_MEMORY_SHARE = 0.85

TITLE = """# Engine comparison

Written by `python -m benchmarks.engines.compare`. One image per run, LeNet 32 × 32, the other networks 224 × 224;
random weights. All candidates run in turns, each in its own process, warmed up until the times show no trend; all
processes are started anew several times. The weights of all are on huge pages, if the system gives them. The tables
give the median, ratios of processes that took turns, and 95 % intervals from resampled processes. The peers receive a
normalised float32 NCHW image. edgecnn receives pixels and normalises them within the measured time. "From pixels" adds
the time that torchvision takes to prepare the peers' image, measured in the same turns. The peers run with their
defaults, except `f32`. If float operators compute in less than FP32, the precision is in brackets. The INT8 peak is the
highest throughput measured on this machine in the same run."""


def main() -> None:
    """Build or measure the selected networks, or all."""
    parser = command_line(__doc__)
    parser.add_argument("names", nargs="*", metavar="NETWORK", choices=("build", *NETWORKS), help="build, and networks")
    add_peers_python(parser)
    options = parser.parse_args()
    use_peers_python(options)
    is_build = options.names[:1] == ["build"]
    for name in options.names[is_build:] or NETWORKS:
        if is_build:
            build(MODELS / name)
        else:
            write(measure(MODELS / name), output("engines", options.out))


def build(folder: Path) -> None:
    """Build missing models, and compile PyTorch's code, which takes minutes."""
    from benchmarks.engines.models import build_models

    build_models(folder)
    if not (folder / COMPILED).exists():
        os.environ.pop("OMP_NUM_THREADS", None)  # the compiled code contains the number of threads
        _open(folder, "torch.compile").close()
        print(f"{folder.name}: torch.compile", flush=True)


def measure(folder: Path) -> Result:
    """Measure one network in every way, in several fresh processes of each."""
    paths = [bundle_path(folder, each) for each in BUNDLES]
    bundle, setting, conclusion = tuned([open_bundle(path) for path in paths if path.exists()])
    print(f"{folder.name}: {conclusion}", flush=True)
    failed: dict[str, str] = {}
    peaks = _peaks()
    started = [_started(folder, bundle, setting, failed, seed=number) for number in range(PROCESSES)]
    ways = [_way(name, [each[name] for each in started]) for name in (OURS, *PEERS) if name not in failed]
    peak = max(*peaks, *_peaks())
    return _result(folder.name, bundle, setting, conclusion=conclusion, ways=ways, failed=failed, peak=peak)


@dataclass(frozen=True)
class _Started:
    """What one process of a way measured."""

    opened: Opened
    warmed: WarmUp
    resident_bytes: int
    turns: Sequence[Turn]


def _started(
    folder: Path, bundle: Bundle, setting: Setting, failed: dict[str, str], *, seed: int
) -> dict[str, _Started]:
    """Start a process for each way in a random order, and run all of them in turns. Add those that fail to `failed`.

    The place of the weights in memory, and with it the time, differs from process to process.
    """
    names = [OURS, *(name for name in PEERS if name not in failed)]
    random.Random(seed).shuffle(names)  # noqa: S311  # not for security
    with contextlib.ExitStack() as stack:
        workers = {}
        for name in names:
            try:
                worker = MeasuringProcess(bundle.path, setting) if name == OURS else _open(folder, name)
            except EngineError as error:
                if name == OURS:
                    raise
                failed[name] = str(error)
            else:
                workers[name] = stack.enter_context(worker)
        warmed = [worker.warm_up() for worker in workers.values()]
        memory = [worker.memory().resident_bytes for worker in workers.values()]
        _check_memory(memory)
        turns = interleave(list(workers.values()), rounds=ROUNDS, seconds=TURN_S, seed=seed)
        return {
            name: _Started(worker.opened, warm, bytes_, taken)
            for (name, worker), warm, bytes_, taken in zip(workers.items(), warmed, memory, turns, strict=True)
        }


def tuned(bundles: Sequence[Bundle]) -> tuple[Bundle, Setting, str]:
    """Tune edgecnn's bundles; return the choice and the conclusion."""
    from edgecnn.tuning.tune import tune

    profile = tune(bundles, purpose="latency", budget_s=TUNING_S).profile
    chosen = next(bundle for bundle in bundles if bundle.digest == profile.choice.bundle)
    return chosen, profile.choice.setting, profile.conclusion


def write(result: Result, out: Output) -> None:
    """Replace the results of one network."""
    old = schema.parse(Results, out.data.read_bytes()).networks if out.data.exists() else ()
    found = {each.network: each for each in (*old, result)}
    results = summary(found[name] for name in NETWORKS if name in found)
    out.write(schema.plain(results), page(results, title=TITLE))


def _open(folder: Path, name: str) -> MeasuringProcess:
    kind, file = PEERS[name]
    path = folder / file if file else bundle_path(folder, "fp32")
    return MeasuringProcess(path, Setting(kind), modules=dict.fromkeys(KINDS, MODULE), timeout_s=_TIMEOUT_S)


def _check_memory(resident: Sequence[int]) -> None:
    """Exit if the machine is about to swap, because that would be measured."""
    limit = memory_limit()
    print(f"  {len(resident)} processes hold {sum(resident) / 1e9:.1f} of {(limit or 0) / 1e9:.1f} GB", flush=True)
    if limit is not None and sum(resident) > _MEMORY_SHARE * limit:
        raise SystemExit(f"the processes need more than {_MEMORY_SHARE:.0%} of this machine's memory")


def _peaks() -> list[float]:
    """Measure the INT8 peak several times, while no other process runs."""
    return [machine_peak("int8", usable_cores()).ops_per_s for _ in range(_PEAKS)]


def _way(name: str, started: Sequence[_Started]) -> Way:
    found, first = speed([turn for each in started for turn in each.turns]), started[0]
    return Way(
        name=name,
        precision=first.opened.session.precision,
        threads=first.opened.session.threads,
        p50_ms=found.p50_ms,
        p99_ms=found.p99_ms,
        turns_ms=tuple(median(medians_ms(each.turns)) for each in started),
        steady=all(each.warmed.steady for each in started),
        open_s=median(each.opened.seconds for each in started),
        resident_mb=median(each.resident_bytes for each in started) / 1e6,
    )


def _result(
    network: str,
    bundle: Bundle,
    setting: Setting,
    *,
    conclusion: str,
    ways: Sequence[Way],
    failed: dict[str, str],
    peak: float,
) -> Result:
    ours, *others = ways
    (normalizing,) = (way for way in others if way.name == NORMALIZING)
    peers = [way for way in others if way is not normalizing]
    best = min(peers, key=lambda way: way.p50_ms.value)
    (eager,) = (way for way in peers if way.name == EAGER)
    from_pixels = np.add(best.turns_ms, normalizing.turns_ms)
    site, macs = this_site(), bundle.manifest.macs
    assert macs is not None
    result = Result(
        network=network,
        processor=f"{site.processor}, {site.cores} cores, {', '.join(site.features)}",
        measured_at=utc_now(),
        versions=versions() | {"nncf": version("nncf")},
        macs=macs,
        peak_ops_per_s=peak,
        bundle=bundle.manifest.precision,
        setting=setting,
        conclusion=conclusion,
        ways=tuple(ways),
        failed=failed,
        best_peer=best.name,
        over_best_peer=ratio(best.turns_ms, ours.turns_ms),
        over_best_peer_from_pixels=ratio(from_pixels.tolist(), ours.turns_ms),
        over_eager=ratio(eager.turns_ms, ours.turns_ms),
        peak_share=2 * macs / (ours.p50_ms.value / 1e3) / peak,
    )
    print(
        f"  {bundle.manifest.precision} on {setting}: {ours.p50_ms.value:.3f} ms; {best.name} takes "
        f"{result.over_best_peer.value:.2f} ({result.over_best_peer_from_pixels.value:.2f} from pixels), PyTorch "
        f"{result.over_eager.value:.2f} times as long; "
        f"{result.peak_share:.1%} of the INT8 peak",
        flush=True,
    )
    return result


if __name__ == "__main__":
    main()
