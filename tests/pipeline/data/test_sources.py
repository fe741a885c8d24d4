"""Opening data sources by name or by path."""

from pathlib import Path

import pytest
from PIL import Image

from edgecnn.errors import SourceError
from edgecnn.pipeline.data.digits import Digits
from edgecnn.pipeline.data.folder import ImageFolder
from edgecnn.pipeline.data.mnist import FashionMnist
from edgecnn.pipeline.data.sources import NAMES, open_source


def image_folder(root: Path) -> Path:
    (root / "cat").mkdir(parents=True)
    Image.new("L", (4, 4), 9).save(root / "cat" / "a.png")
    return root


@pytest.fixture(autouse=True)
def _empty_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.mark.parametrize(("name", "kind"), [("digits", Digits), ("fashion-mnist", FashionMnist)])
def test_opens_a_source_by_name(name: str, kind: type):
    source = open_source(name)
    assert isinstance(source, kind)
    assert source.name == name
    assert len(source.labels) == 10
    assert source.mode == "L"


def test_sources_have_their_names():
    assert [open_source(name).name for name in NAMES] == list(NAMES)


def test_opens_an_image_folder_by_path(tmp_path: Path):
    source = open_source(str(image_folder(tmp_path / "pets")))
    assert isinstance(source, ImageFolder)
    assert source.labels == ("cat",)


@pytest.mark.parametrize("name", NAMES)
def test_prefers_a_path_over_a_name(name: str):
    image_folder(Path(name))
    source = open_source(name)
    assert isinstance(source, ImageFolder)
    assert source.labels == ("cat",)


def test_rejects_a_file_with_a_source_name(tmp_path: Path):
    Path("digits").write_text("x")
    with pytest.raises(SourceError, match="digits is a file: expected an image folder"):
        open_source("digits")


def test_resolves_paths_from_relative_to(tmp_path: Path):
    image_folder(tmp_path / "recipes" / "pets")
    assert open_source("pets", relative_to=tmp_path / "recipes").name == "pets"
    with pytest.raises(SourceError, match="unknown data source 'pets'"):
        open_source("pets")


def test_ignores_folders_outside_relative_to(tmp_path: Path):
    image_folder(Path("digits"))
    assert isinstance(open_source("digits", relative_to=tmp_path), Digits)


def test_keeps_absolute_paths(tmp_path: Path):
    assert open_source(str(image_folder(tmp_path / "pets")), relative_to=Path("/nowhere")).name == "pets"


@pytest.mark.parametrize("name", ["imagenet", "Digits", "digits ", "pets/none", "x" * 5000, "a\0b"])
def test_lists_choices_for_an_unknown_name(name: str):
    with pytest.raises(SourceError) as raised:
        open_source(name)
    message = str(raised.value)
    assert message.startswith(f"unknown data source {name!r}")
    assert ("(did you mean digits?): expected " in message) == (name in ("Digits", "digits "))
    assert all(choice in message for choice in NAMES)
    assert "image folder" in message
    assert "\n" not in message
