"""Shares of the machine's limits."""

import dataclasses

import pytest

from edgecnn.bundle.manifest import FileEntry
from edgecnn.bundle.store import Bundle
from edgecnn.host.bandwidth import Reads
from edgecnn.host.resources import usable_cores
from edgecnn.runtime.setting import Setting
from edgecnn.tuning.measuring.candidate import Candidate
from edgecnn.tuning.measuring.limits import Limits

MB = 10**6


def candidate(bundle: Bundle, setting: Setting, *, size_bytes: int = 40 * MB) -> Candidate:
    """Return a candidate whose graph has another size."""
    manifest = bundle.manifest
    files = manifest.files | {manifest.graph.file: FileEntry("", size_bytes)}
    return Candidate(dataclasses.replace(bundle, manifest=dataclasses.replace(manifest, files=files)), setting)


def shares(found: Candidate, *bandwidths: float | None) -> tuple[float | None, dict[str, float]]:
    """Return the memory share at 100 images/s, and the bandwidths, after measuring once for each bandwidth."""
    values = iter(bandwidths)
    limits = Limits(None, lambda reads: next(values))
    for _ in bandwidths:
        limits.measure([found])
    return limits.memory_share(found, 100.0), limits.bandwidths


def test_every_run_reads_the_weights(committed: Bundle):
    one = candidate(committed, Setting("onnxruntime", threads=1))
    assert shares(one, 8e9) == (pytest.approx(0.5), {"40 MB, 1 thread": 8e9})
    batch = candidate(committed, Setting("onnxruntime", threads=1, batch=4))
    assert shares(batch, 8e9)[0] == pytest.approx(0.125)


def test_the_higher_bandwidth_counts(committed: Bundle):
    assert shares(candidate(committed, Setting("onnxruntime", threads=1)), 8e9, 4e9)[0] == pytest.approx(0.5)
    assert shares(candidate(committed, Setting("onnxruntime", threads=1)), 4e9, None)[0] == pytest.approx(1.0)


def test_threads_are_those_of_all_instances(committed: Bundle):
    asked: list[Reads] = []
    limits = Limits(None, asked.append)
    limits.measure([candidate(committed, Setting("onnxruntime", threads=1, instances=64))])
    assert asked == [Reads(usable_cores(), 40 * MB)]


@pytest.mark.parametrize(
    ("setting", "size_bytes"),
    [
        (Setting("onnxruntime"), 1 * MB),  # in the cache
        (Setting("onnxruntime", device="cuda"), 40 * MB),
        (Setting("openvino", precision="bf16"), 40 * MB),
        (Setting("pytorch"), 40 * MB),  # its FP32 network is larger than the INT8 graph
    ],
)
def test_has_no_share_if_the_bytes_are_unknown(committed: Bundle, setting: Setting, size_bytes: int):
    assert shares(candidate(committed, setting, size_bytes=size_bytes), 8e9) == (None, {})


def test_pytorch_reads_the_weights_of_an_committed(committed: Bundle):
    graph = dataclasses.replace(committed.manifest.graph, precision="fp32", quantization=None)
    manifest = dataclasses.replace(committed.manifest, graphs=(graph,))
    found = candidate(dataclasses.replace(committed, manifest=manifest), Setting("pytorch", threads=1))
    assert shares(found, 8e9)[0] == pytest.approx(0.5)


def test_without_functions_there_are_no_limits(committed: Bundle):
    limits, found = Limits(None, None), candidate(committed, Setting("onnxruntime", threads=1))
    limits.measure([found])
    assert (limits.peaks, limits.bandwidths) == ({}, {})
    assert (limits.peak_share(found, 1.0), limits.memory_share(found, 1.0)) == (None, None)
