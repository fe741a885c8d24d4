"""Families of bundles in a report."""

import dataclasses

from edgecnn.bundle.store import Bundle
from edgecnn.pipeline.reporting.families import families


def test_compares_bundles_of_one_reference_with_fp32(fp32_bundle: Bundle, int8_bundle: Bundle, fp16_bundle: Bundle):
    (family,) = families([int8_bundle, fp32_bundle, fp16_bundle])
    assert family.first.bundle == fp32_bundle
    assert [each.bundle for each in family.compared] == [int8_bundle, fp16_bundle]


def test_compares_nothing_without_fp32(int8_bundle: Bundle, fp16_bundle: Bundle):
    (family,) = families([int8_bundle, fp16_bundle])
    assert family.compared == ()


def test_separates_references_and_equal_names(committed: Bundle):
    reference = dataclasses.replace(committed.manifest.reference, digest="0" * 64)
    other = dataclasses.replace(
        committed, manifest=dataclasses.replace(committed.manifest, reference=reference), digest="f" * 64
    )
    first, second = families([committed, other])
    assert first.first.name == f"lenet-digits-int8 ({committed.digest[:12]})"
    assert second.first.name == "lenet-digits-int8 (ffffffffffff)"


def test_counts_what_the_graph_computes(committed: Bundle):
    subject = families([committed])[0].first
    assert subject.inspection is not None
    assert subject.macs == subject.inspection.macs == 416_520
    assert subject.folder_bytes > committed.size_bytes


def test_a_graph_that_cannot_be_inspected_has_no_layers(committed: Bundle, tmp_path):
    model = tmp_path / committed.model.name
    model.write_bytes(b"no graph")
    subject = families([dataclasses.replace(committed, path=tmp_path)])[0].first
    assert subject.inspection is None
    assert subject.macs == committed.manifest.macs
