"""Tests of the checks for paths inside a bundle, and of messages about paths that are not bundles."""

from pathlib import Path

import pytest

from edgecnn.bundle.finding import bundle_paths, check_new_bundle, check_outside_bundles, other_than_bundle
from edgecnn.bundle.store import Bundle, create_bundle, open_bundle
from edgecnn.errors import BundleNotFound, OutputExists, UsageError


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


OTHERS = {
    "ck/checkpoint.json": ("ck", "it is a checkpoint: export it first: edgecnn export ck --out ck-fp32"),
    "my ck/checkpoint.json": ("my ck", "edgecnn export 'my ck' --out 'my ck-fp32'"),
    "w.pth": ("w.pth", "it is a file with weights: export it first: edgecnn export ARCH --weights w.pth --out FOLDER"),
    "W.SAFETENSORS": ("W.SAFETENSORS", "edgecnn export ARCH --weights W.SAFETENSORS"),
    "best.pth.tar": ("best.pth.tar", "edgecnn export ARCH --weights best.pth.tar"),
    "net.onnx": ("net.onnx", "it is an ONNX graph: import it first: edgecnn import net.onnx --out net"),
    "digits.tar": ("digits.tar", "it is an archive: unpack it first: edgecnn unpack digits.tar --out digits"),
    "cat.JPG": ("cat.JPG", "it is an image: classify it with a bundle: edgecnn predict BUNDLE cat.JPG"),
    "notes.txt": ("notes.txt", "expected a folder with manifest.json, found a file"),
    "pets/train/cat/1.webp": ("pets", "it is a folder of images: train on them with edgecnn train ARCH --data pets"),
    "empty/notes.txt": ("empty", "it contains no manifest.json"),
    "digits/notes.txt": ("digit", "found nothing (did you mean digits?)"),
}


@pytest.mark.parametrize(("file", "path", "says"), [(file, *case) for file, case in OTHERS.items()], ids=OTHERS)
def test_says_what_is_there_instead(file: str, path: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).touch()
    with pytest.raises(BundleNotFound) as raised:
        open_bundle(path)
    assert str(raised.value).startswith(f"{path} is not a bundle: ")
    assert says in str(raised.value)
    if "found" not in says:
        with pytest.raises(BundleNotFound, match=f"{path} is neither a bundle nor a folder of bundles: "):
            bundle_paths([Path(path)])


def test_says_which_bundle_a_file_belongs_to(bundle_copy: Path):
    for name in ("manifest.json", "model.onnx"):
        with pytest.raises(BundleNotFound, match=f"it is a file of a bundle: pass its folder, {bundle_copy}"):
            open_bundle(bundle_copy / name)
    assert other_than_bundle(bundle_copy) is None
