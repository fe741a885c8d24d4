"""Splits: digests, subsets, and splitting by image content."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgecnn.bundle.manifest import DataReference
from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.errors import SourceError, SourceWarning
from edgecnn.pipeline.data.images import ArrayImages, FileImages
from edgecnn.pipeline.data.source import TEST_FRACTION, Split, is_test

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 4, 5), dtype=np.uint8)
TARGETS = np.arange(10, dtype=np.int64) % 3
AS_THEY_ARE = Preprocessing("L", None, None, (0.0,), (1.0,))


def split(pixels: np.ndarray = PIXELS, targets: np.ndarray = TARGETS) -> Split:
    return Split("noise", "train", ArrayImages(pixels), targets)


def test_reads_images_from_memory():
    images = ArrayImages(PIXELS)
    assert len(images) == 10
    assert np.array_equal(np.asarray(images[3]), PIXELS[3])
    assert images.digest(3) == hashlib.sha256(PIXELS[3].tobytes()).digest()


def test_digest_ignores_the_memory_order():
    assert ArrayImages(np.asfortranarray(PIXELS)).digest(3) == ArrayImages(PIXELS).digest(3)


def test_file_images_are_paths(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"one")
    (tmp_path / "b.png").write_bytes(b"two")
    images = FileImages([tmp_path / "a.png", tmp_path / "b.png"])
    assert len(images) == 2
    assert images[1] == tmp_path / "b.png"
    assert images.digest(1) == hashlib.sha256(b"two").digest()


def test_names_a_missing_file(tmp_path: Path):
    with pytest.raises(SourceError) as raised:
        FileImages([tmp_path / "missing.png"]).digest(0)
    assert str(raised.value) == f"cannot read {tmp_path / 'missing.png'}: No such file or directory"


def test_digest_covers_pixels_targets_and_order():
    changed = PIXELS.copy()
    changed[7, 0, 0] ^= 1
    relabelled = TARGETS.copy()
    relabelled[7] += 1
    others = [
        split(changed),
        split(targets=relabelled),
        split().subset(range(9)),
        split().subset([1, 0, *range(2, 10)]),
    ]
    digests = {other.digest for other in [split(), *others]}
    assert len(digests) == 5
    assert split().digest == split(PIXELS.copy()).digest


def test_reference_identifies_the_images():
    assert split().reference() == DataReference("noise", "train", 10, split().digest)


def test_subset_keeps_the_given_order():
    part = split().subset([7, 2, 2])
    assert len(part) == len(part.images) == 3
    assert list(part.targets) == [1, 2, 2]
    assert np.array_equal(part.all_pixels(AS_THEY_ARE)[:, :, :, 0], PIXELS[[7, 2, 2]])
    assert part.images.digest(0) == split().images.digest(7)
    assert (part.source, part.name) == ("noise", "train")


def test_subsets_can_be_nested():
    part = split().subset([9, 8, 7, 6]).subset([1, 3])
    assert np.array_equal(part.all_pixels(AS_THEY_ARE)[:, :, :, 0], PIXELS[[8, 6]])


def test_pixels_follow_the_index_order():
    assert np.array_equal(split().pixels(np.array([4, 1]), AS_THEY_ARE)[:, :, :, 0], PIXELS[[4, 1]])


@pytest.mark.parametrize("fault", ["broken", "thin"])
def test_names_an_unusable_image(fault: str, tmp_path: Path):
    good, bad = tmp_path / "good.png", tmp_path / f"{fault}.png"
    Image.new("L", (8, 8)).save(good)
    Image.new("L", (1, 10_000)).save(bad)
    if fault == "broken":
        bad.write_bytes(good.read_bytes()[:-30])
    scaled = Preprocessing("L", Resize((256,)), None, (0.0,), (1.0,))
    source = Split("mine", "train", FileImages([good, bad]), np.zeros(2, np.int64))
    with pytest.raises(SourceError) as raised:
        source.all_pixels(scaled)
    assert str(raised.value).startswith(f"mine: {bad}")


@given(st.binary(min_size=32, max_size=32))
def test_split_depends_on_first_digest_bytes(digest: bytes):
    assert is_test(digest) == is_test(digest[:8] + bytes(24))
    assert is_test(digest) == (digest[0] < 51) or digest[0] == 51  # a fifth of 256 is 51.2


def test_a_fifth_of_images_is_for_testing():
    share = np.mean([is_test(hashlib.sha256(str(number).encode()).digest()) for number in range(10_000)])
    assert share == pytest.approx(TEST_FRACTION, abs=0.02)


def files(folder: Path, count: int, damaged: Sequence[int]) -> Split:
    """Return images on disk, some of them cut off."""
    paths = []
    for index in range(count):
        path = folder / f"{index:02}.png"
        Image.fromarray(np.random.default_rng(index).integers(0, 256, (8, 8), dtype=np.uint8)).save(path)
        if index in damaged:
            path.write_bytes(path.read_bytes()[:60])
        paths.append(path)
    return Split("mine", "train", FileImages(paths), np.arange(count) % 2, folder)


def test_takes_images_that_can_be_decoded(tmp_path: Path):
    split = files(tmp_path, 40, [0, 5])
    with pytest.warns(SourceWarning, match=r"2 of 40 images of mine cannot be decoded and are skipped \(00\.png: dam"):
        taken = split.take(range(40), 10)
    assert [taken.name_of(index) for index in range(10)] == [f"{index:02}.png" for index in (1, 2, 3, 4, *range(6, 12))]
    assert len(split.take([1, 2], 10)) == 2


@pytest.mark.parametrize(("damaged", "max_bad", "fails"), [(3, 0.05, True), (2, 0.05, False), (3, 0.1, False)])
def test_limits_the_share_of_damaged_images(damaged: int, max_bad: float, fails: bool, tmp_path: Path):
    split = files(tmp_path, 40, range(damaged))
    _, errors = split.decoded(range(40), Preprocessing("L", None, None, (0.0,), (1.0,)))
    assert list(errors) == list(range(damaged))
    if fails:
        with pytest.raises(SourceError, match=r"3 of 40 images .* at most 5% may be skipped: repair or remove"):
            split.without(errors, max_bad=max_bad)
    else:
        with pytest.warns(SourceWarning):
            assert len(split.without(errors, max_bad=max_bad)) == 40 - damaged


def test_parts_each_class_in_proportion():
    targets = np.repeat(np.arange(60), 3)
    pixels = np.random.default_rng(0).integers(0, 256, (180, 4, 4), dtype=np.uint8)
    kept, cut = Split("few", "train", ArrayImages(pixels), targets).parted(0.1)
    assert len(cut) == 18
    assert np.bincount(cut.known_targets()).max() == 1
    assert np.bincount(kept.known_targets()).min() == 2


def test_parts_copies_together():
    pixels = np.repeat(np.random.default_rng(0).integers(0, 256, (20, 4, 4), dtype=np.uint8), 3, axis=0)
    kept, cut = Split("copies", "train", ArrayImages(pixels), np.repeat([0, 1], 30)).parted(0.2)
    assert len(cut) == 12
    first, second = ({part.images.digest(i) for i in range(len(part))} for part in (kept, cut))
    assert not first & second


def test_groups_images_by_their_rarest_label():
    targets = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 0, 1]] + [[1, 1, 0]] * 6)
    found = split(targets=targets)
    assert found.groups.tolist() == [1, 0, 3, 2] + [1] * 6
    assert split().groups.tolist() == TARGETS.tolist()


def test_several_labels_are_part_of_the_digest():
    targets = np.zeros((10, 2), np.int64)
    other = targets.copy()
    other[9, 1] = 1
    assert split(targets=targets).digest != split(targets=other).digest
    with pytest.raises(SourceError, match="have several labels: expected one class per image"):
        split(targets=targets).known_targets()


def test_the_digest_of_classes_has_four_bytes_each():
    expected = hashlib.sha256()
    for pixels, target in zip(PIXELS, TARGETS.tolist(), strict=True):
        expected.update(hashlib.sha256(pixels.tobytes()).digest() + target.to_bytes(4, "big"))
    assert split().digest == expected.hexdigest()
