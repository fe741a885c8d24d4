"""The committed bundle can be rebuilt, and is intact after cloning."""

import subprocess
import sys

import pytest
from repository import COMMITTED, REPOSITORY

from edgecnn.bundle.store import open_bundle
from edgecnn.pipeline.data.sources import open_source


def test_committed_bundle_is_intact_and_small():
    bundle = open_bundle(COMMITTED)
    assert bundle.manifest.name == "lenet-digits-int8"
    assert bundle.manifest.precision == "int8"
    assert sum(entry.size_bytes for entry in bundle.manifest.files.values()) < 200 * 1024


def test_committed_bundle_used_the_current_digits():
    digits, bundle = open_source("digits"), open_bundle(COMMITTED)
    assert bundle.manifest.provenance.training.digest == digits.split("train").digest
    assert bundle.proof().data.digest == digits.split("test").digest


@pytest.mark.slow
def test_committed_bundle_can_be_rebuilt():
    done = subprocess.run(
        [sys.executable, "scripts/bundle.py", "--check"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "agrees with it" in done.stdout
