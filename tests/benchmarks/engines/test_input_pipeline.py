"""The images and the page of `benchmarks/engines/input_pipeline.py`."""

from pathlib import Path

from PIL import Image

from benchmarks.engines.input_pipeline import image_folder, page


def test_writes_two_classes_of_photographs(tmp_path: Path):
    root = image_folder(tmp_path / "photographs", 4)
    assert {str(file.parent.relative_to(root)) for file in root.rglob("*.jpg")} == {
        *("train/temple", "train/flower", "test/temple", "test/flower"),
    }
    assert len(list(root.glob("train/*/*.jpg"))) == 4
    with Image.open(root / "train" / "flower" / "1.jpg") as picture:
        assert picture.size == (500, 375)


def test_page_shows_the_share_of_each_case():
    compute = {"device": "cpu", "precision": "fp32", "threads": 2, "processes": 1}
    case = {"architecture": "lenet", "image_size": 32, "images": "in memory", "waiting": 0.0037, "images_per_s": 2653.7}
    site = {"processor": "a processor", "cores": 2, "engines": {}}
    text = page({"measured_at": "2026-01-01", "site": site, "rows": [case | {"compute": compute}]})
    assert "| lenet | 32 | in memory | 0.4% | 2654 | cpu, fp32, 2 threads |" in text
