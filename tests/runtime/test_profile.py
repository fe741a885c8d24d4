"""Profiles: writing, reading, and rejection of stale or damaged ones."""

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
    """Return a profile of this machine that chooses the first bundle."""
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
        conclusion="FP32 is faster",
    )


OPENVINO = Setting("openvino", threads=1)


def test_reads_back_a_profile(committed: Bundle):
    written = profile(committed, setting=OPENVINO)
    write_profile(written)
    assert read_profile(committed.manifest.reference.digest, "latency") == (written, "")
    assert read_profile(committed.manifest.reference.digest, "throughput")[0] is None


def test_auto_uses_the_profile(committed: Bundle):
    assert open_session(committed).info.engine == "onnxruntime"
    write_profile(profile(committed, setting=OPENVINO))
    assert open_session(committed).info.engine == "openvino"
    assert open_session(committed).info.threads == 1
    assert open_session(committed, engine="onnxruntime").info.engine == "onnxruntime"
    assert edgecnn.load(committed.path).info.engine == "openvino"
    assert edgecnn.load(committed.path, threads=usable_cores()).info.threads == usable_cores()


def test_throughput_profile_opens_streams(committed: Bundle):
    write_profile(profile(committed, setting=dataclasses.replace(OPENVINO, instances=2), purpose="throughput"))
    assert edgecnn.load(committed.path, purpose="throughput")._session.instances == 2
    assert edgecnn.load(committed.path)._session.instances == 1


SITES = {
    "processor": {"processor": "Intel 8086"},
    "features": {"features": ("SSE4.2",)},
    "cores": {"cores": 64},
    "engine-version": {"engines": {"onnxruntime": "1.0", "openvino": "2020"}},
    "additional-engine": {"engines": {"onnxruntime": "1.0", "openvino": "2020", "another": "3"}},
    "emulator": {"emulator": "qemu-x86_64-static -cpu Haswell"},
}


@pytest.mark.parametrize("change", SITES.values(), ids=SITES)
def test_ignores_a_stale_profile(committed: Bundle, change: dict):
    here = profile(committed, setting=OPENVINO)
    write_profile(dataclasses.replace(here, site=dataclasses.replace(here.site, **change)))
    found, reason = read_profile(committed.manifest.reference.digest, "latency")
    assert found is None
    assert "is stale" in reason
    with pytest.warns(ProfileWarning, match="is stale"):
        assert open_session(committed).info.engine == "onnxruntime"


CONTENTS = {
    "empty": b"",
    "text": b"hello",
    "other-json": b"[1, 2]",
    "binary": bytes(range(256)),
    "later-format": b'{"format": 99}',
    "deep-json": b"[" * 100_000,
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_ignores_a_damaged_profile(committed: Bundle, content: bytes):
    write_profile(profile(committed, setting=OPENVINO))
    profile_path(committed.manifest.reference.digest, "latency").write_bytes(content)
    found, reason = read_profile(committed.manifest.reference.digest, "latency")
    assert found is None
    assert reason
    with pytest.warns(ProfileWarning, match="ignoring the profile: .*; run `edgecnn tune` again"):
        assert open_session(committed).info.engine == "onnxruntime"


WRONG = {
    "unknown-engine": {"engine": "foo"},
    "missing-engine": {"engine": "pytorch"},
    "zero-threads": {"threads": 0},
    "negative-threads": {"threads": -1},
    "zero-instances": {"instances": 0},
    "other-precision": {"precision": "bf16"},
    "other-device": {"device": "npu"},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_rejects_an_invalid_setting(committed: Bundle, change: dict):
    path = write_profile(profile(committed, setting=OPENVINO))
    document = json.loads(path.read_text())
    document["choice"]["setting"] |= change
    path.write_text(json.dumps(document))
    assert read_profile(committed.manifest.reference.digest, "latency")[0] is None


def test_file_name_is_safe_for_any_digest():
    place = profile_path("../../../../etc/passwd", "latency")
    assert place.parent == profile_path("0" * 64, "latency").parent
    assert ".." not in place.parts


def test_rejects_a_truncated_profile(committed: Bundle):
    content = schema.dump(profile(committed, setting=OPENVINO)).encode()
    path = profile_path(committed.manifest.reference.digest, "latency")
    path.parent.mkdir(parents=True)
    for length in range(0, len(content) - 1, 37):
        path.write_bytes(content[:length])
        assert read_profile(committed.manifest.reference.digest, "latency")[0] is None


def test_rejects_a_profile_of_another_reference(committed: Bundle):
    written = write_profile(profile(committed, setting=OPENVINO))
    other = "0" * 64
    written.rename(profile_path(other, "latency"))
    assert read_profile(other, "latency")[0] is None


def test_unmeasured_bundles_use_the_default(fp32_bundle: Bundle, int8_bundle: Bundle):
    write_profile(profile(fp32_bundle, setting=OPENVINO))
    assert tuned_setting(fp32_bundle, "latency") == OPENVINO
    assert tuned_setting(int8_bundle, "latency") is None


def test_loads_the_chosen_bundle_of_a_folder(both_bundles: Path, fp32_bundle: Bundle, int8_bundle: Bundle):
    for first, second in ((fp32_bundle, int8_bundle), (int8_bundle, fp32_bundle)):
        write_profile(profile(first, second, setting=OPENVINO))
        with edgecnn.load(both_bundles) as classifier:
            assert classifier.bundle.digest == first.digest
            assert classifier.info.engine == "openvino"


def test_rejects_a_folder_without_a_profile(both_bundles: Path):
    with pytest.raises(UsageError, match=r"no profile was recorded on this machine; run `edgecnn tune "):
        edgecnn.load(both_bundles)
    with pytest.raises(UsageError, match="--for throughput"):
        edgecnn.load(both_bundles, purpose="throughput")


def test_rejects_a_folder_with_an_unmeasured_bundle(both_bundles: Path, fp32_bundle: Bundle):
    write_profile(profile(fp32_bundle, setting=OPENVINO))
    with pytest.raises(UsageError, match="the profile does not include lenet-digits-int8"):
        choose(both_bundles, "latency")


def test_a_single_bundle_needs_no_profile(committed: Bundle):
    assert edgecnn.load(committed.path.parent).bundle.digest == committed.digest


def test_rejects_several_references(both_bundles: Path, committed: Bundle, tmp_path: Path):
    (tmp_path / "a").symlink_to(committed.path)
    (tmp_path / "b").symlink_to(both_bundles / "lenet-digits-fp32")
    with pytest.raises(UsageError, match="come from different references"):
        choose(tmp_path, "latency")
