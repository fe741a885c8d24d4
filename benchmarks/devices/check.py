"""Run edgecnn on emulated processors: Raspberry Pi 3 and 4, any ARM, AVX2 without VNNI, SSE4 (`make devices`).

On each processor, run `edgecnn doctor`, `predict`, and `serve` with one request. For each bundle and engine, run
`edgecnn verify`, and compare the answers to test images with this machine's and with PyTorch's. Writes the data and
`results/devices.md`; exits with 1 if a requirement fails.

    python -m benchmarks.devices.check [--zoo DIR] [--resume] [--jobs N] [--quick]
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.results import DIGIT, REPOSITORY, Output, command_line, output
from benchmarks.devices.bundles import BUILD, Subject, build, built, committed, not_built
from benchmarks.devices.emulation import (
    CORTEX_A72,
    DEVICES,
    HASWELL,
    HERE,
    Processor,
    arm_stands,
    build_arm,
    emulated_logits,
)
from benchmarks.devices.findings import Cell, Device, FullRange, shortcomings, without_folders
from benchmarks.devices.page import page
from benchmarks.devices.runs import answers, edgecnn, serve, verify

ENGINES = ("onnxruntime", "openvino")
QUICK = (CORTEX_A72, HASWELL)
TRUTH = "7"
"""The label of `DIGIT`."""

_ANSWERED = (0, 3)
"""Exit codes of `edgecnn verify` after which the engine has run the bundle."""

_CELLS = BUILD / "cells"


def main() -> None:
    """Run the selected checks and write the results."""
    parser = command_line(__doc__)
    parser.add_argument("--zoo", type=Path, default=REPOSITORY / "zoo", help="checkpoints of `make zoo`")
    parser.add_argument("--resume", action="store_true", help="keep the results of an earlier run on the same bundles")
    parser.add_argument(
        "--quick", action="store_true", help="check the committed bundle on two processors; write no results"
    )
    parser.add_argument(
        "--jobs", type=int, default=2, help="devices to check at the same time; times are not measured [default: 2]"
    )
    options = parser.parse_args()
    if not arm_stands():
        build_arm()
    if options.quick:
        failed = quick()
    else:
        build(options.zoo)
        failed = everything(output("devices", options.out), resume=options.resume, jobs=options.jobs)
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    sys.exit(1 if failed else 0)


def quick() -> tuple[str, ...]:
    """Check the committed bundle on two processors with ONNX Runtime; return the failures."""
    subject = committed()
    with tempfile.TemporaryDirectory() as folder:
        cells = [measured(device, subject=subject, engine=ENGINES[0], kept=Path(folder)) for device in (HERE, *QUICK)]
    devices = [looked_at(device, subject) for device in QUICK]
    print(page(devices, cells[1:], None))
    return shortcomings(cells, devices, None)


def everything(out: Output, *, resume: bool, jobs: int) -> tuple[str, ...]:
    """Run all checks, the required engine and small bundles first; return the failures.

    The results are written after each bundle, so that an interrupted run keeps its results.
    """
    cells: list[Cell] = []
    guarded: FullRange | None = None
    with ThreadPoolExecutor(jobs) as pool:
        devices = list(pool.map(lambda device: kept_device(device, resume=resume), (HERE, *DEVICES)))
        for engine in ENGINES:
            for subject in subjects():
                measure = partial(measured, subject=subject, engine=engine, kept=_CELLS, resume=resume)
                cells.append(measure(HERE))
                cells += pool.map(measure, DEVICES)
                if subject.full_range and engine == ENGINES[-1]:
                    guarded = full_range(subject, cells)
                _write_results(out, devices, cells, guarded)
    return shortcomings(cells, devices, guarded)


def _write_results(out: Output, devices: Sequence[Device], cells: Sequence[Cell], guarded: FullRange | None) -> None:
    document = {
        "command": "make devices",
        "devices": [asdict(device) for device in devices],
        "cells": [asdict(cell) for cell in cells],
        "full_range": asdict(guarded) if guarded else None,
        "not_built": not_built(),
    }
    out.write(document, page(devices, cells, guarded, left_out=not_built()))


def subjects() -> Iterator[Subject]:
    """Yield the bundles, the fastest first."""
    yield committed()
    yield from sorted(built(), key=lambda subject: (subject.bundle.manifest.macs or 0) * len(subject.images))


def kept_device(device: Processor, *, resume: bool) -> Device:
    """Examine a device, or return the result of an earlier run."""
    record = _CELLS / f"{device.name}.json"
    if resume and record.is_file():
        return Device(**json.loads(record.read_text()))
    found = looked_at(device, committed())
    print(found, flush=True)
    _write(record, asdict(found))
    return found


def looked_at(device: Processor, subject: Subject) -> Device:
    """Run doctor, predict and serve."""
    doctor = edgecnn(device, "doctor")
    engines = {each["engine"]: each for each in doctor.result["engines"]}
    predicted = edgecnn(device, "predict", str(subject.bundle.path), str(DIGIT))
    served = serve(device, subject.bundle)
    return Device(
        device.name,
        device.about,
        processor=doctor.result["machine"]["processor"]["name"],
        features=doctor.result["machine"]["processor"]["features"],
        doctor=doctor.code,
        problems={name: each["problem"] for name, each in engines.items() if each["problem"]},
        saturates={name: each["saturates"] or [] for name, each in engines.items()},
        incurable=[name for name, each in engines.items() if each["saturates_anyway"]],
        predicted=predicted.result["label"] if predicted.code == 0 else str(predicted.problem),
        served=served.label,
        ready_s=served.ready_s,
        served_mb=served.resident_mb,
        served_exit=served.exit_code,
        right=TRUTH,
    )


def measured(device: Processor, *, subject: Subject, engine: str, kept: Path, resume: bool = False) -> Cell:
    """Measure one bundle on one engine of one device. This machine comes first, as the basis of comparison.

    Args:
        device: the processor.
        subject: the bundle and its images.
        engine: its name.
        kept: folder for records and logits.
        resume: whether to use a record of the same bundle and number of images.
    """
    stem = f"{device.name}.{subject.bundle.manifest.name}.{engine}"
    record, logits = kept / f"{stem}.json", kept / f"{stem}.npy"
    if resume and record.is_file():
        cell = Cell(**json.loads(record.read_text()))
        if (cell.digest, cell.images) == (subject.bundle.digest, len(subject.images)):
            return cell
    proof = verify(device, subject.bundle, engine=engine)
    cell = Cell(
        device=device.name,
        bundle=subject.bundle.manifest.name,
        precision=subject.bundle.manifest.precision,
        full_range=subject.full_range,
        digest=subject.bundle.digest,
        engine=engine,
        images=len(subject.images),
        verify=proof.code,
        problem=proof.problem and without_folders([proof.problem])[0],
    )
    found = answers(device, subject.bundle, images=subject.images, engine=engine) if proof.code in _ANSWERED else None
    if found is not None:
        kept.mkdir(parents=True, exist_ok=True)
        np.save(logits, found.logits)
        here = np.load(kept / f"{HERE.name}.{subject.bundle.manifest.name}.{engine}.npy")
        cell = cell.answered(found.logits, here=here, reference=subject.logits)
        cell = cell.with_costs(startup_s=found.startup_s, peak_mb=found.peak_mb)
    _write(record, asdict(cell))
    print(cell, flush=True)
    return cell


def full_range(subject: Subject, cells: Sequence[Cell]) -> FullRange:
    """Check on Haswell that a saturating bundle is detected, and that exact INT8 corrects it."""
    bundle = subject.bundle
    image = ["predict", str(bundle.path), str(DIGIT), "--engine", "openvino"]
    verified, loaded = verify(HASWELL, bundle, engine="openvino"), edgecnn(HASWELL, *image)
    strictly = edgecnn(HASWELL, "verify", str(bundle.path), "--engine", "openvino", "--strict")
    refused = edgecnn(HASWELL, *image, "--strict")
    there = {cell.engine: cell for cell in cells if (cell.device, cell.digest) == (HASWELL.name, bundle.digest)}
    cured, openvino = (there[engine] for engine in ENGINES)
    here = np.load(_CELLS / f"{HERE.name}.{bundle.manifest.name}.{ENGINES[0]}.npy")
    raw = emulated_logits(HASWELL, bundle.model, images=subject.images)
    self_test = bundle.self_test()
    error = np.abs(emulated_logits(HASWELL, bundle.model, images=self_test.images) - self_test.logits)
    return FullRange(
        bundle=bundle.manifest.name,
        verify_warns=without_folders(verified.warnings),
        strict_verify=strictly.code,
        load_warns=without_folders(loaded.warnings),
        strict_load=refused.code,
        says=refused.problem and without_folders([refused.problem])[0],
        openvino=openvino.rms_ratio,
        uncured=cured.answered(raw, here=here, reference=subject.logits).rms_ratio,
        uncured_error=float(error.max()),
        tolerance=self_test.tolerance,
        cured=cured.rms_ratio,
    )


def _write(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
