"""Images that a benchmark chooses from a data source."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecnn.bundle.store import Bundle
from edgecnn.errors import EdgecnnError, SourceWarning
from edgecnn.pipeline.sampling import sample


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return a flat folder with twelve images, each of one brightness."""
    for number in range(12):
        Image.new("L", (40, 40), 20 * number).save(tmp_path / f"{number}.png")
    return tmp_path


def test_takes_all_images_without_classes(pictures: Path, committed: Bundle):
    found = sample(str(pictures))
    assert (found.data.split, found.data.images) == ("all", 12)
    pixels = found.pixels(committed.manifest.preprocessing)
    assert pixels.shape == (12, 32, 32, 1)
    assert sorted(pixels[:, 16, 16, 0].tolist()) == [20 * number for number in range(12)]


def test_the_seed_determines_the_choice(pictures: Path):
    first, again, other = sample(str(pictures), 5), sample(str(pictures), 5, 0), sample(str(pictures), 5, 1)
    assert first.data == again.data
    assert first.data.images == other.data.images == 5
    assert first.data.digest != other.data.digest


def test_takes_test_images_of_a_source_with_classes(committed: Bundle):
    found = sample("digits", 7)
    assert (found.data.source, found.data.split, found.data.images) == ("digits", "test", 7)
    assert found.pixels(committed.manifest.preprocessing).dtype == np.uint8


def test_skips_damaged_images(pictures: Path):
    content = (pictures / "3.png").read_bytes()
    (pictures / "3.png").write_bytes(content[: len(content) // 2])
    with pytest.warns(SourceWarning, match="3.png"):
        assert sample(str(pictures)).data.images == 11


@pytest.mark.parametrize(
    ("data", "count", "seed", "message"),
    [
        ("digits", 0, 0, "number of images must be at least 1"),
        ("digits", 1, -1, "seed must be at least 0"),
        ("nowhere", 1, 0, "unknown data source 'nowhere'"),
        ("", 1, 0, "the data source is empty"),
    ],
)
def test_rejects_a_wrong_choice(data: str, count: int, seed: int, message: str):
    with pytest.raises(EdgecnnError, match=message):
        sample(data, count, seed)
