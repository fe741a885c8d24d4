"""What paths stand for: bundles, folders of them, and folders of numbered versions."""

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
    """Make what looks like a bundle: nobody opens it here."""

    def make(*place: str, name: str = "model") -> Path:
        path = tmp_path.joinpath(*place)
        path.mkdir(parents=True)
        (path / "manifest.json").write_text(json.dumps({"name": name}))
        return path

    return make


def test_a_bundle_is_one_model_of_its_own_name(make: Callable[..., Path]):
    bundle = make("any-folder", name="photos")
    assert find_sources([bundle]) == (Source("photos", bundle),)
    (candidate,) = candidates(Source("photos", bundle))
    assert (candidate.number, candidate.path) == ("1", bundle)


def test_numbered_bundles_are_versions_of_a_model_of_the_folder_s_name(make: Callable[..., Path], tmp_path: Path):
    for number in ("1", "2", "10"):
        make("photos", number, name="whatever")
    expected = Source("photos", tmp_path / "photos", has_versions=True)
    assert find_sources([tmp_path / "photos"]) == find_sources([tmp_path]) == (expected,)
    assert [candidate.number for candidate in candidates(expected)] == ["10", "2", "1"]


def test_a_folder_may_hold_bundles_and_models_with_versions(make: Callable[..., Path], tmp_path: Path):
    make("a", name="a")
    make("b", "7")
    (tmp_path / "notes").mkdir()
    assert [(source.name, source.has_versions) for source in find_sources([tmp_path])] == [("a", False), ("b", True)]


def test_numbers_among_bundles_of_other_names_are_names_and_that_is_told(make: Callable[..., Path], tmp_path: Path):
    make("2", name="two")
    make("other", name="other")
    two, other = find_sources([tmp_path])
    assert (two.name, other.name) == ("two", "other")
    doubt = f"{tmp_path} is served as a folder of bundles, not of versions of one model: not all of them are numbered"
    assert (two.doubt, other.doubt) == (doubt, "")


@pytest.mark.parametrize("odd", ["backup", "03"])
def test_a_bundle_without_a_number_among_versions_is_left_out_and_that_is_told(
    odd: str, make: Callable[..., Path], tmp_path: Path
):
    for name in ("1", "2", odd):
        make("photos", name, name="photos")
    (tmp_path / "photos" / "notes").mkdir()
    for where in (tmp_path, tmp_path / "photos"):
        (source,) = find_sources([where])
        assert (source.name, source.has_versions) == ("photos", True)
        expected = f"{tmp_path / 'photos'} is a folder of versions: {odd} is left out, since its name is no number"
        assert source.doubt == expected
        assert [candidate.number for candidate in candidates(source)] == ["2", "1"]


def test_in_a_folder_of_models_any_number_makes_versions(make: Callable[..., Path], tmp_path: Path):
    make("photos", "1", name="small")
    make("photos", "large", name="large")
    (source,) = find_sources([tmp_path])
    assert (source.name, source.has_versions) == ("photos", True)
    assert "large is left out" in source.doubt


def test_a_version_that_cannot_be_read_makes_no_other_model_of_the_folder(make: Callable[..., Path], tmp_path: Path):
    make("photos", "1")
    hidden = make("photos", "2")
    (hidden / "manifest.json").unlink()
    (hidden / "manifest.json").symlink_to("x" * 300)  # looking where it leads is an error, for anybody
    source = Source("photos", tmp_path / "photos", has_versions=True)
    assert find_sources([source.path]) == (source,)
    assert [candidate.number for candidate in candidates(source)] == ["2", "1"]


def test_a_folder_of_versions_has_the_name_that_was_written(
    make: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
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
def test_what_is_no_number_is_no_version(name: str, make: Callable[..., Path], tmp_path: Path):
    make("photos", "2")
    make("photos", name)
    source = Source("photos", tmp_path / "photos", has_versions=True)
    assert [candidate.number for candidate in candidates(source)] == ["2"]


def test_a_version_without_a_manifest_is_none_yet(make: Callable[..., Path], tmp_path: Path):
    make("photos", "1")
    (tmp_path / "photos" / "2").mkdir()
    (tmp_path / "photos" / "2" / "model.onnx").touch()
    source = Source("photos", tmp_path / "photos", has_versions=True)
    assert [candidate.number for candidate in candidates(source)] == ["1"]


def test_a_signature_changes_with_every_file_and_with_another_bundle_in_its_place(
    make: Callable[..., Path], tmp_path: Path
):
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


def test_what_is_gone_has_no_candidates(make: Callable[..., Path], tmp_path: Path):
    bundle = make("photos")
    shutil.rmtree(bundle)
    assert candidates(Source("photos", bundle)) == []
    assert candidates(Source("photos", tmp_path / "nowhere", has_versions=True)) == []


def test_a_link_to_a_bundle_is_that_bundle_until_it_leads_elsewhere(make: Callable[..., Path], tmp_path: Path):
    first, second = make("first"), make("second")
    link = tmp_path / "current"
    link.symlink_to(first)
    (source,) = find_sources([link])
    assert source.path == link
    before = candidates(source)[0]
    assert before.path == first  # what is opened is one bundle, also if the link is switched meanwhile
    link.unlink()
    link.symlink_to(second)
    after = candidates(source)[0]
    assert after.path == second
    assert after.signature != before.signature


def test_what_is_installed_is_the_bundle_that_is_current_whatever_else_is_kept(
    make: Callable[..., Path], tmp_path: Path
):
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
    (installed / "versions" / "1" / "manifest.json").unlink()  # what was current is damaged: nothing stands in for it
    assert find_sources([installed]) == (Source("mine", installed / "current"),)
    assert candidates(source) == []


def test_a_model_named_twice_is_served_once_and_two_of_one_name_are_refused(make: Callable[..., Path], tmp_path: Path):
    first = make("one", "a", name="photos")
    assert len(find_sources([first, tmp_path / "one", first])) == 1
    second = make("two", "b", name="photos")
    with pytest.raises(UsageError) as caught:
        find_sources([first, second])
    assert str(caught.value) == f"{first} and {second} are both named 'photos': serve one of them"


def test_a_place_with_nothing_to_serve_is_named(tmp_path: Path):
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UsageError, match="neither a bundle nor a folder of bundles") as caught:
            find_sources([place])
        assert str(caught.value).startswith(str(place))


def test_a_damaged_bundle_has_its_folder_s_name(make: Callable[..., Path]):
    bundle = make("what ever")
    (bundle / "manifest.json").write_text("{")
    assert served_name(bundle) == "what_ever"
    link = bundle.parent / "photos"
    link.symlink_to(bundle)
    assert served_name(link) == "photos"
