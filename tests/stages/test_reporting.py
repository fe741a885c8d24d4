"""`edgecnn.report`: the written page and its content."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgecnn
from edgecnn.bundle.store import Bundle
from edgecnn.errors import OutputExists, SourceError, SourceWarning, UsageError


def test_writes_one_page_below_3_mb(committed: Bundle, tmp_path: Path):
    found = edgecnn.report(committed, tmp_path / "report.html", language="zh")
    html = found.path.read_text()
    assert found.size_bytes == found.path.stat().st_size < 3e6
    assert '<html lang="zh-Hans"' in html
    assert "onnxruntime holds" in found._repr_html_()
    assert repr(found) == f"<Report {found.path}: lenet-digits-int8>"
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".html"] == ["report.html"]


def test_answers_labelled_images(committed: Bundle, tmp_path: Path):
    found = edgecnn.report(committed.path, tmp_path / "report.html", data="digits", engine="onnxruntime")
    (report,) = found.content.families
    assert report.answers is not None
    assert report.answers.data.images == 385
    top1 = report.answers.bundles[0].accuracy.value
    assert top1 == pytest.approx(committed.proof().engines[0].comparison.top1, abs=0.01)


def test_refuses_an_existing_page_without_force(committed: Bundle, tmp_path: Path):
    page = tmp_path / "report.html"
    page.write_text("mine")
    with pytest.raises(OutputExists):
        edgecnn.report(committed, page)
    assert page.read_text() == "mine"
    edgecnn.report(committed, page, force=True)
    assert page.read_text() != "mine"


def test_writes_nothing_if_the_images_have_other_classes(committed: Bundle, tmp_path: Path):
    _photographs(tmp_path / "pets", ["cat", "dog"])
    with pytest.raises(SourceError, match=r"which .* does not have"):
        edgecnn.report(committed, tmp_path / "report.html", data=tmp_path / "pets")
    assert not (tmp_path / "report.html").exists()


def test_a_missing_class_is_a_warning(committed: Bundle, tmp_path: Path):
    _photographs(tmp_path / "digits", ["0", "1", "9"])
    with pytest.warns(SourceWarning, match="3 of the 10 classes"):
        found = edgecnn.report(committed, tmp_path / "report.html", data=tmp_path / "digits")
    assert found.path.exists()


def test_needs_a_bundle(tmp_path: Path):
    with pytest.raises(UsageError, match="at least one bundle"):
        edgecnn.report([], tmp_path / "report.html")


def test_shows_images_of_other_sizes(committed: Bundle, tmp_path: Path):
    _photographs(tmp_path / "digits", [str(digit) for digit in range(10)], size=(1, 1))
    assert edgecnn.report(committed, tmp_path / "report.html", data=tmp_path / "digits").size_bytes < 3e6


def _photographs(folder: Path, classes: list[str], size: tuple[int, int] = (40, 30)) -> None:
    """Write an image folder with four random images of each class in both splits."""
    generator = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in classes:
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(4):
                pixels = generator.integers(0, 256, (*size, 3), np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")
