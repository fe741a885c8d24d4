"""A profile holds where it was measured and nowhere else; what is damaged is none."""

import dataclasses
import json
from pathlib import Path

import pytest

import edgecnn
from edgecnn.bundle.store import Bundle
from edgecnn.errors import ProfileWarning, UsageError
from edgecnn.files import schema
from edgecnn.host.resources import usable_cores
from edgecnn.runtime.choosing import choose
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.profile import (
    FORMAT,
    Chosen,
    Profile,
    Purpose,
    profile_path,
    read_profile,
    tuned_setting,
    write_profile,
)
from edgecnn.runtime.rates import Estimate
from edgecnn.runtime.setting import Setting
from edgecnn.runtime.site import this_site


def profile(*bundles: Bundle, setting: Setting, purpose: Purpose = "latency") -> Profile:
    """A profile of this machine that chooses the first of some bundles."""
    chosen = {bundle.digest: Chosen(bundle.digest, setting, Estimate(1.0, 0.9, 1.1)) for bundle in bundles}
    return Profile(
        format=FORMAT,
        site=this_site(),
        reference=bundles[0].manifest.reference.digest,
        purpose=purpose,
        measured_at="2026-01-01T00:00:00+00:00",
        max_drop=0.1,
        bundles={bundle.digest: bundle.manifest.name for bundle in bundles},
        choice=chosen[bundles[0].digest],
        best=chosen,
        verdict="it is so",
    )


OPENVINO = Setting("openvino", threads=1)


def test_a_profile_is_read_back_as_it_was_written(committed: Bundle):
    written = profile(committed, setting=OPENVINO)
    write_profile(written)
    assert read_profile(committed.manifest.reference.digest, "latency") == (written, "")
    assert read_profile(committed.manifest.reference.digest, "throughput")[0] is None


def test_auto_uses_the_profile(committed: Bundle):
    assert open_session(committed).info.engine == "onnxruntime"
    write_profile(profile(committed, setting=OPENVINO))
    assert open_session(committed).info.engine == "openvino"
    assert open_session(committed).info.threads == 1
    assert open_session(committed, backend="onnxruntime").info.engine == "onnxruntime"
    assert edgecnn.load(committed.path).info.engine == "openvino"
    assert edgecnn.load(committed.path, threads=usable_cores()).info.threads == usable_cores()


def test_the_profile_for_throughput_opens_several_streams(committed: Bundle):
    write_profile(profile(committed, setting=dataclasses.replace(OPENVINO, streams=2), purpose="throughput"))
    assert edgecnn.load(committed.path, purpose="throughput")._session.concurrency == 2
    assert edgecnn.load(committed.path)._session.concurrency == 1


SITES = {
    "another processor": {"processor": "Intel 8086"},
    "other instruction sets": {"features": ("SSE4.2",)},
    "other cores": {"cores": 64},
    "another version of an engine": {"engines": {"onnxruntime": "1.0", "openvino": "2020"}},
    "one engine more": {"engines": {"onnxruntime": "1.0", "openvino": "2020", "another": "3"}},
    "an emulator": {"emulator": "qemu-x86_64-static -cpu Haswell"},
}


@pytest.mark.parametrize("change", SITES.values(), ids=SITES)
def test_a_profile_of_another_machine_is_stale_and_not_used(committed: Bundle, change: dict):
    here = profile(committed, setting=OPENVINO)
    write_profile(dataclasses.replace(here, site=dataclasses.replace(here.site, **change)))
    found, reason = read_profile(committed.manifest.reference.digest, "latency")
    assert found is None
    assert "is stale" in reason
    with pytest.warns(ProfileWarning, match="is stale"):
        assert open_session(committed).info.engine == "onnxruntime"


CONTENTS = {
    "empty": b"",
    "no JSON": b"hello",
    "another JSON": b"[1, 2]",
    "bytes": bytes(range(256)),
    "a later format": b'{"format": 99}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_a_damaged_profile_is_none_and_the_bundle_still_opens(committed: Bundle, content: bytes):
    write_profile(profile(committed, setting=OPENVINO))
    profile_path(committed.manifest.reference.digest, "latency").write_bytes(content)
    found, reason = read_profile(committed.manifest.reference.digest, "latency")
    assert found is None
    assert reason
    with pytest.warns(ProfileWarning, match="tune"):
        assert open_session(committed).info.engine == "onnxruntime"


WRONG = {
    "an engine that is none": {"backend": "foo"},
    "an engine that is not here": {"backend": "pytorch"},
    "no threads": {"threads": 0},
    "less than no threads": {"threads": -1},
    "no streams": {"streams": 0},
    "another precision": {"precision": "bf16"},
    "another device": {"device": "npu"},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_profile_of_what_cannot_be_is_none(committed: Bundle, change: dict):
    path = write_profile(profile(committed, setting=OPENVINO))
    document = json.loads(path.read_text())
    document["choice"]["setting"] |= change
    path.write_text(json.dumps(document))
    assert read_profile(committed.manifest.reference.digest, "latency")[0] is None


def test_the_name_of_the_file_does_not_follow_what_a_manifest_says():
    place = profile_path("../../../../etc/passwd", "latency")
    assert place.parent == profile_path("0" * 64, "latency").parent
    assert ".." not in place.parts


def test_every_cut_of_a_profile_is_none(committed: Bundle):
    content = schema.dump(profile(committed, setting=OPENVINO)).encode()
    path = profile_path(committed.manifest.reference.digest, "latency")
    path.parent.mkdir(parents=True)
    for length in range(0, len(content) - 1, 37):
        path.write_bytes(content[:length])
        assert read_profile(committed.manifest.reference.digest, "latency")[0] is None


def test_a_profile_under_another_references_name_is_none(committed: Bundle):
    written = write_profile(profile(committed, setting=OPENVINO))
    other = "0" * 64
    written.rename(profile_path(other, "latency"))
    assert read_profile(other, "latency")[0] is None


def test_a_bundle_that_was_not_measured_runs_on_the_default(fp32_bundle: Bundle, int8_bundle: Bundle):
    write_profile(profile(fp32_bundle, setting=OPENVINO))
    assert tuned_setting(fp32_bundle, "latency") == OPENVINO
    assert tuned_setting(int8_bundle, "latency") is None


@pytest.fixture
def folder(fp32_bundle: Bundle, int8_bundle: Bundle) -> Path:
    """Where both bundles of one reference stand, and a folder that is none."""
    return fp32_bundle.path.parent


def test_a_folder_is_the_bundle_that_was_chosen(folder: Path, fp32_bundle: Bundle, int8_bundle: Bundle):
    for first, second in ((fp32_bundle, int8_bundle), (int8_bundle, fp32_bundle)):
        write_profile(profile(first, second, setting=OPENVINO))
        with edgecnn.load(folder) as classifier:
            assert classifier.bundle.digest == first.digest
            assert classifier.info.engine == "openvino"


def test_a_folder_without_a_profile_is_refused_and_told_what_to_do(folder: Path):
    with pytest.raises(UsageError, match=r"nothing was tuned here yet; run `edgecnn tune "):
        edgecnn.load(folder)
    with pytest.raises(UsageError, match="--for throughput"):
        edgecnn.load(folder, purpose="throughput")


def test_a_folder_with_a_bundle_that_was_never_measured_is_refused(folder: Path, fp32_bundle: Bundle):
    write_profile(profile(fp32_bundle, setting=OPENVINO))
    with pytest.raises(UsageError, match="does not know lenet-digits-int8"):
        choose(folder, "latency")


def test_a_folder_with_one_bundle_needs_no_profile(committed: Bundle):
    assert edgecnn.load(committed.path.parent).bundle.digest == committed.digest


def test_bundles_of_different_references_are_refused(folder: Path, committed: Bundle, tmp_path: Path):
    (tmp_path / "a").symlink_to(committed.path)
    (tmp_path / "b").symlink_to(folder / "lenet-digits-fp32")
    with pytest.raises(UsageError, match="come from different references"):
        choose(tmp_path, "latency")
