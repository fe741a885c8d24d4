"""Train, export, quantize, verify and predict on real handwritten digits, in about a minute (`make demo`)."""

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.table import Table

from edgecnn.bundle.store import open_bundle
from edgecnn.pipeline.data.sources import open_source
from edgecnn.pipeline.training.checkpoint import read_checkpoint
from edgecnn.runtime.engines.engine import Session
from edgecnn.runtime.engines.registry import installed
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.rates import Estimate
from edgecnn.tuning.measuring.estimates import percentile_ms
from edgecnn.tuning.measuring.turn import InProcess, interleave, settle

HERE = Path("build/demo")
CHECKPOINT = HERE / "lenet-digits"
FP32, INT8 = HERE / "lenet-digits-fp32", HERE / "lenet-digits-int8"
DIGIT = HERE / "digit.png"
ROUNDS, TURN_S = 12, 0.08


def main() -> None:
    """Run the steps; stop at the first one that fails."""
    start = time.monotonic()
    HERE.mkdir(parents=True, exist_ok=True)
    edgecnn(f"train lenet --data digits --out {CHECKPOINT} --force")
    edgecnn(f"export {CHECKPOINT} --out {FP32} --force")
    edgecnn(f"quantize {FP32} --calibration calibration/digits.json --out {INT8} --force")
    compare = f"--data digits --reference {CHECKPOINT}"
    records = {
        (bundle, engine): edgecnn(
            f"verify {bundle} --engine {engine} {compare} --record {record_file(bundle, engine)} --json"
        )
        for bundle in (FP32, INT8)
        for engine in installed()
    }
    truth = write_digit()
    answer = edgecnn(f"predict {INT8} {DIGIT} --json")
    print(f"{DIGIT} is a {truth}, predicted {answer['label']} ({answer['top'][0]['probability']:.1%})")
    print_table(records, latencies())
    print(f"{time.monotonic() - start:.0f} s; all files are in {HERE}/")


def edgecnn(arguments: str) -> Any:
    """Print a command, run it, and return its JSON output."""
    print(f"$ edgecnn {arguments}", flush=True)
    wants_json = arguments.endswith("--json")
    done = subprocess.run(
        [sys.executable, "-m", "edgecnn", *shlex.split(arguments)],
        check=False,
        stdout=subprocess.PIPE if wants_json else None,
        text=True,
    )
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout) if wants_json else None


def record_file(bundle: Path, engine: str) -> Path:
    """Return the path for a new verification record."""
    path = HERE / f"{bundle.name}.{engine}.json"
    path.unlink(missing_ok=True)
    return path


def write_digit() -> str:
    """Write the first test digit as an image file; return its label."""
    test = open_source("digits").split("test")
    Image.fromarray(test.images[0]).resize((200, 200)).save(DIGIT)  # type: ignore[arg-type]
    return str(open_source("digits").labels[test.known_targets()[0]])


def latencies() -> dict[str, Estimate]:
    """Time PyTorch and every bundle on every engine, interleaved, one image at a time."""
    sessions: dict[str, Session] = {"pytorch": read_checkpoint(CHECKPOINT).reference.open()}
    for bundle in (FP32, INT8):
        for engine in installed():
            sessions[f"{bundle}{engine}"] = open_session(open_bundle(bundle), engine=engine)
    image = open_bundle(FP32).self_test().images[:1]
    runners = [InProcess(session, image) for session in sessions.values()]
    rounds = settle(interleave(runners, rounds=ROUNDS, most=3 * ROUNDS, seconds=TURN_S), ROUNDS)
    if rounds.is_busy:
        print("this machine is busy: the latencies are too high")
    return {name: percentile_ms(turns, 50) for name, turns in zip(sessions, rounds.turns, strict=True)}


def print_table(records: dict[tuple[Path, str], Any], times: dict[str, Estimate]) -> None:
    """Print the table."""
    table = Table(title="LeNet on handwritten digits, one image at a time", title_justify="left")
    for column in ("precision", "engine", "top-1", "agreement with PyTorch", "size", "latency"):
        table.add_column(column, justify="left" if column in ("precision", "engine") else "right")
    reference = next(iter(records.values()))["comparison"]
    weights = (CHECKPOINT / "model.safetensors").stat().st_size
    table.add_row("fp32", "pytorch", f"{reference['reference_top1']:.2%}", "", kib(weights), ms(times["pytorch"]))
    for (bundle, engine), found in records.items():
        compared, opened = found["comparison"], open_bundle(bundle)
        table.add_row(
            opened.manifest.precision,
            engine,
            f"{compared['top1']:.2%}",
            f"{compared['agreement']:.2%}",
            kib(opened.size_bytes),
            ms(times[f"{bundle}{engine}"]),
        )
    Console(width=110).print(table)


def kib(size_bytes: int) -> str:
    """Format a size."""
    return f"{size_bytes / 1024:.0f} KiB"


def ms(latency: Estimate) -> str:
    """Format a median with its 95 % interval."""
    return f"{latency.value:.3f} ms [{latency.low:.3f}, {latency.high:.3f}]"


if __name__ == "__main__":
    main()
