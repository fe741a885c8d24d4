"""Tests of the checks for paths inside a bundle."""

from pathlib import Path

import pytest

from edgecnn.bundle.finding import check_new_bundle, check_outside_bundles
from edgecnn.bundle.store import Bundle, create_bundle
from edgecnn.errors import OutputExists, UsageError


def test_rejects_a_bundle_inside_a_bundle(committed: Bundle, bundle_copy: Path):
    with pytest.raises(UsageError, match="sealed"):
        create_bundle(
            bundle_copy / "deep" / "out",
            manifest=committed.manifest,
            model=committed.model.read_bytes(),
            self_test=committed.self_test(),
            proof=committed.proof(),
        )
    assert not (bundle_copy / "deep").exists()


def test_follows_links_and_dots(bundle_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(bundle_copy)
    check_outside_bundles(Path("../new"))
    (tmp_path / "link").symlink_to(bundle_copy)
    for place in (Path("new"), Path("./new"), tmp_path / "link" / "new", tmp_path / "new" / ".." / "link" / "new"):
        with pytest.raises(UsageError, match=f"{place} is inside the bundle {bundle_copy}, which is sealed"):
            check_outside_bundles(place)


def test_replaces_a_bundle_only_with_force(bundle_copy: Path):
    with pytest.raises(OutputExists, match="--force"):
        check_new_bundle(bundle_copy, force=False)
    check_new_bundle(bundle_copy, force=True)
