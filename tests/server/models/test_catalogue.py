"""Which models a path contains: bundles, folders of bundles, and folders of versions."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgecnn.errors import UsageError
from edgecnn.server.models.catalogue import Source, candidates, find_sources, served_name


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Create folders with a manifest that contains only a name."""

    def make(*place: str, name: str = "model") -> Path:
        path = tmp_path.joinpath(*place)
        path.mkdir(parents=True)
        (path / "manifest.json").write_text(json.dumps({"name": name}))
        return path

    return make


def test_a_bundle_is_a_model_of_its_name(make: Callable[..., Path]):
    bundle = make("any-folder", name="photos")
    assert find_sources([bundle]) == (Source("photos", bundle),)
    (candidate,) = candidates(Source("photos", bundle))
    assert (candidate.number, candidate.path) == (1, bundle)


def test_numbered_bundles_are_versions(make: Callable[..., Path], tmp_path: Path):
    for number in ("1", "2", "10"):
        make("photos", number, name="whatever")
    expected = Source("photos", tmp_path / "photos", has_versions=True)
    assert find_sources([tmp_path / "photos"]) == find_sources([tmp_path]) == (expected,)
    assert [candidate.number for candidate in candidates(expected)] == [10, 2, 1]


def test_a_folder_mixes_bundles_and_versions(make: Callable[..., Path], tmp_path: Path):
    make("a", name="a")
    make("b", "7")
    (tmp_path / "notes").mkdir()
    assert [(source.name, source.has_versions) for source in find_sources([tmp_path])] == [("a", False), ("b", True)]


def test_warns_about_numbers_as_names(make: Callable[..., Path], tmp_path: Path):
    make("2", name="two")
    make("other", name="other")
    two, other = find_sources([tmp_path])
    assert (two.name, other.name) == ("two", "other")
    warning = f"{tmp_path} is served as a folder of bundles, not as versions of one model: some have no number"
    assert (two.warning, other.warning) == (warning, "")


@pytest.mark.parametrize("odd", ["backup", "03"])
def test_warns_about_a_bundle_without_a_number(odd: str, make: Callable[..., Path], tmp_path: Path):
    for name in ("1", "2", odd):
        make("photos", name, name="photos")
    (tmp_path / "photos" / "notes").mkdir()
    for where in (tmp_path, tmp_path / "photos"):
        (source,) = find_sources([where])
        assert (source.name, source.has_versions) == ("photos", True)
        expected = f"{tmp_path / 'photos'} is a folder of versions: {odd} is ignored: its name is not a number"
        assert source.warning == expected
        assert [candidate.number for candidate in candidates(source)] == [2, 1]


def test_a_number_in_a_subfolder_means_versions(make: Callable[..., Path], tmp_path: Path):
    make("photos", "1", name="small")
    make("photos", "large", name="large")
    (source,) = find_sources([tmp_path])
    assert (source.name, source.has_versions) == ("photos", True)
    assert "large is ignored" in source.warning


def test_an_unreadable_version_still_counts(make: Callable[..., Path], tmp_path: Path):
    make("photos", "1")
    hidden = make("photos", "2")
    (hidden / "manifest.json").unlink()
    (hidden / "manifest.json").symlink_to("x" * 300)  # resolving the link is an error, also for root
    source = Source("photos", tmp_path / "photos", has_versions=True)
    assert find_sources([source.path]) == (source,)
    assert [candidate.number for candidate in candidates(source)] == [2, 1]


def test_versions_have_the_name_in_the_path(make: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make("b", "1")
    (tmp_path / "l").mkdir()
    link = tmp_path / "l" / "photos"
    link.symlink_to(tmp_path / "b")
    assert [source.name for source in find_sources([link])] == ["photos"]
    assert [source.name for source in find_sources([tmp_path / "l"])] == ["photos"]
    assert len(find_sources([link, tmp_path / "b"])) == 1
    monkeypatch.chdir(tmp_path / "b")
    for here in (Path(), Path("1") / ".."):
        assert [source.name for source in find_sources([here])] == ["b"]


@pytest.mark.parametrize("name", [".3", "03", "0", "-1", "1.5", "9" * 19, "٣"])
def test_ignores_invalid_version_numbers(name: str, make: Callable[..., Path], tmp_path: Path):
    make("photos", "2")
    make("photos", name)
    source = Source("photos", tmp_path / "photos", has_versions=True)
    assert [candidate.number for candidate in candidates(source)] == [2]


def test_ignores_a_version_without_a_manifest(make: Callable[..., Path], tmp_path: Path):
    make("photos", "1")
    (tmp_path / "photos" / "2").mkdir()
    (tmp_path / "photos" / "2" / "model.onnx").touch()
    source = Source("photos", tmp_path / "photos", has_versions=True)
    assert [candidate.number for candidate in candidates(source)] == [1]


def test_a_signature_changes_with_the_files(make: Callable[..., Path], tmp_path: Path):
    bundle = make("photos")
    source = Source("photos", bundle)
    seen = {candidates(source)[0].signature}
    (bundle / "model.onnx").write_bytes(b"a")
    seen.add(candidates(source)[0].signature)
    with (bundle / "model.onnx").open("ab") as file:
        file.write(b"b")
    seen.add(candidates(source)[0].signature)
    kept = (bundle / "model.onnx").stat()
    (bundle / "model.onnx").write_bytes(b"xy")
    os.utime(bundle / "model.onnx", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    seen.add(candidates(source)[0].signature)
    shutil.copytree(bundle, tmp_path / "other")
    shutil.rmtree(bundle)
    (tmp_path / "other").rename(bundle)
    seen.add(candidates(source)[0].signature)
    assert len(seen) == 5
    assert candidates(source)[0].signature in seen


def test_a_removed_bundle_has_no_candidates(make: Callable[..., Path], tmp_path: Path):
    bundle = make("photos")
    shutil.rmtree(bundle)
    assert candidates(Source("photos", bundle)) == []
    assert candidates(Source("photos", tmp_path / "nowhere", has_versions=True)) == []


def test_follows_a_link_that_changes(make: Callable[..., Path], tmp_path: Path):
    first, second = make("first"), make("second")
    link = tmp_path / "current"
    link.symlink_to(first)
    (source,) = find_sources([link])
    assert source.path == link
    before = candidates(source)[0]
    assert before.path == first  # the link is resolved, so changing it does not affect the opened bundle
    link.unlink()
    link.symlink_to(second)
    after = candidates(source)[0]
    assert after.path == second
    assert after.signature != before.signature


def test_a_site_serves_its_current_bundle(make: Callable[..., Path], tmp_path: Path):
    for number in ("1", "2"):
        make("models", "mine", "versions", number, name="photos")
    make("models", "other", name="other")
    installed = tmp_path / "models" / "mine"
    (installed / "current").symlink_to("versions/1")
    (installed / "previous").mkdir()
    (installed / "previous" / "2").symlink_to("../versions/1")
    source = Source("photos", installed / "current")
    assert find_sources([installed]) == (source,)
    assert find_sources([installed.parent]) == (source, Source("other", tmp_path / "models" / "other"))
    (candidate,) = candidates(source)
    assert candidate.path == installed / "versions" / "1"
    (installed / "versions" / "1" / "manifest.json").unlink()  # damaged; another version must not replace it
    assert find_sources([installed]) == (source,)
    assert [each.path for each in candidates(source)] == [installed / "versions" / "1"]


def test_rejects_two_models_of_one_name(make: Callable[..., Path], tmp_path: Path):
    first = make("one", "a", name="photos")
    assert len(find_sources([first, tmp_path / "one", first])) == 1
    second = make("two", "b", name="photos")
    with pytest.raises(UsageError) as caught:
        find_sources([first, second])
    assert str(caught.value) == f"{first} and {second} are both named 'photos': serve one of them"


def test_rejects_a_path_without_bundles(tmp_path: Path):
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UsageError, match="neither a bundle nor a folder of bundles") as caught:
            find_sources([place])
        assert str(caught.value).startswith(str(place))


def test_a_damaged_bundle_has_its_folder_name(make: Callable[..., Path]):
    bundle = make("what ever")
    (bundle / "manifest.json").write_text("{")
    assert served_name(bundle) == "what_ever"
    link = bundle.parent / "photos"
    link.symlink_to(bundle)
    assert served_name(link) == "photos"
