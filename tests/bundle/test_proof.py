"""`proof.json`: earlier and later minor versions of the format."""

import dataclasses
import json
from pathlib import Path

import pytest
from manifest_edits import edit_manifest

from edgecnn.bundle.layer_report import FloatTrade, LayerReport
from edgecnn.bundle.manifest import DataReference
from edgecnn.bundle.paired_drop import PairedDrop
from edgecnn.bundle.proof import ClassCounts, GateRecord, PerClass, Proof, WorstClass
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import BundleError, UnsupportedFormat
from edgecnn.files import schema
from edgecnn.files.digest import digest_bytes

DROP = PairedDrop(200, 1, 0, 0.005, -0.0139, 0.0278)


def gate(**changes: object) -> GateRecord:
    record = GateRecord(
        DataReference("digits", "train", 200, "d" * 64), 0.001, certified=False, before=DROP, after=DROP
    )
    return dataclasses.replace(record, **changes)  # type: ignore[arg-type]


def test_reads_a_proof_of_format_2_1(committed: Bundle):
    document = json.loads((committed.path / "proof.json").read_text())
    for key in ("decision", "images_needed", "per_class"):
        document["gate"].pop(key, None)
    for engine in document["engines"]:
        engine.pop("per_class", None)
    proof = schema.parse(Proof, json.dumps(document))
    assert proof.gate is not None
    assert (proof.gate.decision, proof.gate.images_needed, proof.gate.per_class) == (None, None, None)
    assert not proof.gate.is_undecided  # its gate compared the drop without the interval
    assert {engine.per_class for engine in proof.engines} == {None}
    assert {layer.trade for layer in proof.layers} == {None}


def test_writes_what_it_read(committed: Bundle):
    content = (committed.path / "proof.json").read_text()
    assert schema.dump(schema.parse(Proof, content)) == content


def test_reads_back_every_addition():
    worst = WorstClass("7", 19, PairedDrop(20, 1, 0, 0.05, -0.1, 0.3))
    record = gate(
        decision="undecided", images_needed=4000, per_class=PerClass(worst, (ClassCounts("7", 20, 19, 1, 0),))
    )
    assert schema.parse(GateRecord, schema.dump(record)) == record
    layer = LayerReport("conv1", 30.0, None, 0.0, 1.0, 0.0, trade=FloatTrade(DROP, None, None, None, 5140))
    assert schema.parse(LayerReport, schema.dump(layer)) == layer


def test_the_interval_decides():
    assert gate(decision="undecided").is_undecided
    assert not gate(decision="passed", max_drop=0.03).is_undecided
    assert not gate(decision="repaired", after=PairedDrop(8000, 0, 0, 0.0, -0.0005, 0.0005)).is_undecided


def test_a_later_proof_needs_a_later_version(bundle_copy: Path):
    proof = json.loads((bundle_copy / "proof.json").read_text()) | {"surprise": 1}
    content = json.dumps(proof).encode()
    (bundle_copy / "proof.json").write_bytes(content)
    entry = {"sha256": digest_bytes(content), "size_bytes": len(content)}
    edit_manifest(bundle_copy, lambda manifest: manifest["files"].update({"proof.json": entry}))
    with pytest.raises(BundleError, match="does not follow the format: unknown key 'surprise'"):
        open_bundle(bundle_copy).proof()
    edit_manifest(bundle_copy, lambda manifest: manifest["format"].update(minor=99))
    with pytest.raises(UnsupportedFormat, match=r"has format 2\.99, this edgecnn reads 2\.\d+ .*'surprise'.*upgrade"):
        open_bundle(bundle_copy).proof()
