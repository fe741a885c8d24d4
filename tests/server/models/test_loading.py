"""Opening a bundle for serving: choice of engine and threads, and the reasons for clients."""

from pathlib import Path

import numpy as np
import pytest

from edgecnn.bundle.store import Bundle
from edgecnn.errors import (
    BundleError,
    DigestMismatch,
    EdgecnnError,
    EngineCrashed,
    EngineError,
    EngineMissing,
    ProofFailed,
)
from edgecnn.host.resources import usable_cores
from edgecnn.runtime.profile import FORMAT, Chosen, Profile, write_profile
from edgecnn.runtime.rates import Estimate
from edgecnn.runtime.setting import Setting
from edgecnn.runtime.site import this_site
from edgecnn.server.models.loading import load, plan_of, public_reason
from edgecnn.server.options import ServeOptions


@pytest.fixture
def tuned(committed: Bundle) -> Bundle:
    """The committed bundle, with a profile for two instances on OpenVINO."""
    chosen = Chosen(committed.digest, Setting("openvino", threads=1, instances=2), Estimate(1.0, 0.9, 1.1))
    profile = Profile(
        format=FORMAT,
        site=this_site(),
        reference=committed.manifest.reference.digest,
        purpose="throughput",
        measured_at="2026-01-01T00:00:00+00:00",
        max_drop=0.1,
        bundles={committed.digest: committed.manifest.name},
        choice=chosen,
        best={committed.digest: chosen},
        conclusion="it is so",
    )
    write_profile(profile)
    return committed


def planned(bundle: Bundle, options: ServeOptions, cores: int) -> tuple[str, int | None, int]:
    engine, session = plan_of(bundle, options, cores)
    return engine, session.threads, session.instances


def test_one_run_uses_all_cores_by_default(committed: Bundle):
    assert planned(committed, ServeOptions(), 4) == ("auto", 4, 1)
    assert planned(committed, ServeOptions(instances=2), 4) == ("auto", 2, 2)
    assert planned(committed, ServeOptions(threads=1), 4) == ("auto", 1, 1)


def test_follows_the_profile_for_throughput(tuned: Bundle):
    assert planned(tuned, ServeOptions(), 2) == ("openvino", 1, 2)


def test_options_override_the_profile(tuned: Bundle):
    assert planned(tuned, ServeOptions(engine="onnxruntime"), 2) == ("onnxruntime", 2, 1)
    assert planned(tuned, ServeOptions(instances=1), 2) == ("openvino", 2, 1)
    assert planned(tuned, ServeOptions(threads=2), 2) == ("openvino", 2, 1)


def test_a_profile_for_more_cores_sets_the_engine(tuned: Bundle):
    assert planned(tuned, ServeOptions(), 1) == ("openvino", 1, 1)


def test_opens_a_bundle_with_its_profile(tuned: Bundle):
    loaded = load(tuned.path, ServeOptions(), usable_cores())
    bundle, session = loaded.bundle, loaded.session
    assert loaded.run_ms > 0
    assert (session.info.engine, session.info.threads, session.instances) == ("openvino", 1, min(2, usable_cores()))
    self_test = bundle.self_test()
    assert np.abs(session.run(self_test.images) - self_test.logits).max() <= self_test.tolerance
    session.close()


def test_rejects_a_damaged_bundle(bundle_copy: Path):
    (bundle_copy / "model.onnx").write_bytes(b"something else")
    with pytest.raises(BundleError, match=r"model\.onnx"):
        load(bundle_copy, ServeOptions(), 1)


@pytest.mark.parametrize(
    ("cls", "reason"),
    [
        (EngineCrashed, "the engine crashed or timed out"),
        (EngineMissing, "the engine rejected it"),
        (EngineError, "the engine rejected it"),
        (ProofFailed, "its self-test failed on this machine"),
        (DigestMismatch, "it is not an intact bundle"),
        (EdgecnnError, "it cannot be opened"),
    ],
)
def test_public_reasons_contain_no_path(cls: type[EdgecnnError], reason: str):
    assert public_reason(cls("/srv/secret/model.onnx is broken")) == reason
