"""The user's preprocessing code is compared with the stated preprocessing, and a difference is explained."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tints import LABELS, PREPROCESSING, subject, tinted

from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.bundle.self_test import EncodedImage
from edgecnn.errors import EdgecnnError, ProofFailed
from edgecnn.pipeline.checking.calling import check_function
from edgecnn.pipeline.data.images import FileImages
from edgecnn.pipeline.user_code import load_attribute
from edgecnn.progress import silent

CODE = """
import cv2
import numpy as np
import torch
import torchvision
from PIL import Image
from torchvision.transforms import v2


def transform(mean=0.5, std=0.5, resize=36, crop=32, kind="bilinear"):
    mode = v2.InterpolationMode(kind)
    steps = [v2.Resize(resize, interpolation=mode), v2.CenterCrop(crop), v2.ToImage()]
    steps += [v2.ToDtype(torch.float32, scale=True), v2.Normalize([mean] * 3, [std] * 3)]
    return v2.Compose(steps)


def right(path, **options):
    return transform(**options)(Image.open(path).convert("RGB"))


def batch(path):
    return right(path)[None].half()


def channels_last(path):
    return right(path).permute(1, 2, 0).numpy().tolist()


def resizes_tensors(path):
    tensor = torchvision.io.decode_image(path, torchvision.io.ImageReadMode.RGB)
    tensor = v2.functional.center_crop(v2.functional.resize(tensor, [36], antialias=True), [32, 32])
    return (tensor / 255 - 0.5) / 0.5


def resizes_floats(path):
    tensor = torchvision.io.decode_image(path, torchvision.io.ImageReadMode.RGB) / 255
    tensor = v2.functional.center_crop(v2.functional.resize(tensor, [36], antialias=True), [32, 32])
    return (tensor - 0.5) / 0.5


def opencv(path, kind=cv2.INTER_LINEAR):
    pixels = cv2.resize(cv2.imread(path), (32, 32), interpolation=kind)
    return ((pixels / 255 - 0.5) / 0.5).transpose(2, 0, 1)


def opencv_rgb(path):
    return opencv(path)[::-1].copy()


bgr = lambda path: right(path).flip(0)
quarter = lambda path: right(path, std=0.25)
levels = lambda path: (right(path) * 0.5 + 0.5) * 255
caffe = lambda path: levels(path).flip(0) - torch.tensor([104.0, 117.0, 123.0])[:, None, None]
bicubic = lambda path: right(path, kind="bicubic")
squash = lambda path: right(path, resize=(32, 32))
closer = lambda path: right(path, resize=32)
opencv_area = lambda path: opencv(path, cv2.INTER_AREA)
noise = lambda path: torch.rand(3, 32, 32)
large = lambda path: right(path, resize=72, crop=64)
nothing = lambda path: None
text = lambda path: "text"
grey = lambda path: right(path)[0]
nan = lambda path: right(path) * float("nan")
three = lambda path: right(path)[None].repeat(3, 1, 1, 1)
table = lambda path: {"pixel_values": right(path)}
no_argument = lambda: None


def raises(path):
    raise ValueError("two\\nlines")


def leaves(path):
    raise SystemExit


def prints(path):
    print("printed")
    return right(path)
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> FileImages:
    folder = tmp_path_factory.mktemp("files")
    for number, label in enumerate(LABELS):
        tinted(label, number).save(folder / f"{label}.png")
    return FileImages(sorted(folder.iterdir()))


@pytest.fixture(scope="module")
def encoded() -> list[EncodedImage]:
    def saved(number: int, kind: str) -> bytes:
        buffer = io.BytesIO()
        tinted("red", number).save(buffer, kind)
        return buffer.getvalue()

    nothing = np.zeros(0, np.float32)
    return [EncodedImage(kind, saved(number, kind), nothing, nothing) for number, kind in enumerate(("png", "jpeg"))]


@pytest.fixture
def check(tmp_path: Path, files: FileImages, encoded: list[EncodedImage]) -> Callable[..., int]:
    def run(name: str, preprocessing: Preprocessing = PREPROCESSING) -> int:
        (tmp_path / "code.py").write_text(CODE)
        function = load_attribute(f"{tmp_path / 'code.py'}:{name}", option="--preprocess")
        return check_function(function, subject(preprocessing), files, encoded, progress=silent)

    return run


@pytest.mark.parametrize("name", ["right", "batch", "channels_last", "resizes_tensors", "resizes_floats"])
def test_accepts_equal_preprocessing(check: Callable[..., int], name: str):
    assert check(name) == len(LABELS) + 2


def test_accepts_opencv(check: Callable[..., int]):
    stated = Preprocessing("RGB", Resize((32, 32), "opencv-bilinear"), None, (0.5,) * 3, (0.5,) * 3)
    assert check("opencv_rgb", stated) == 7
    with pytest.raises(ProofFailed, match="they match with BGR images; no bundle was written"):
        check("opencv", stated)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("bgr", "BGR images"),
        ("quarter", "--mean 0.5,0.5,0.5 --std 0.25,0.25,0.25"),
        ("levels", "--pixel-range 0-255 --mean 0,0,0 --std 1,1,1"),
        ("caffe", "BGR images --pixel-range 0-255 --mean 104,117,123 --std 1,1,1"),
        ("bicubic", "--interpolation bicubic"),
        ("squash", "--resize 32,32 --crop none"),
        ("closer", "--resize 32 --crop 32,32"),
        ("opencv_area", "BGR images --resize 32,32 --crop none --interpolation opencv-area"),
    ],
)
def test_names_the_options_that_match(check: Callable[..., int], name: str, options: str):
    with pytest.raises(ProofFailed) as caught:
        check(name)
    assert f"they match with {options}; no bundle was written" in str(caught.value)
    assert "of 255 levels at most (allowed " in str(caught.value)


def test_other_pixels_match_nothing(check: Callable[..., int]):
    with pytest.raises(ProofFailed) as caught:
        check("noise")
    assert "they match" not in str(caught.value)


def test_another_size_is_a_difference(check: Callable[..., int]):
    with pytest.raises(ProofFailed, match=r"an array \[3, 64, 64\], the network takes \[3, 32, 32\]: its image size"):
        check("large")


def test_names_the_orientation_of_a_photograph(check: Callable[..., int], tmp_path: Path, encoded: list[EncodedImage]):
    picture = tinted("green", 7)
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.png", exif=exif)
    (tmp_path / "code.py").write_text(CODE)
    function = load_attribute(f"{tmp_path / 'code.py'}:right", option="--preprocess")
    with pytest.raises(ProofFailed, match="the orientation in its EXIF data is applied here"):
        check_function(function, subject(), FileImages([tmp_path / "turned.png"]), encoded, progress=silent)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nothing", "returns NoneType, expected an array or tensor [3, 32, 32]"),
        ("text", "expected an array or tensor [3, 32, 32]"),
        ("table", "returns dict"),
        ("grey", "returns an array [32, 32], the network takes [3, 32, 32]: expected one image"),
        ("three", "returns an array [3, 3, 32, 32]"),
        ("nan", "returns values that are not finite, for self_test_0.png"),
        ("raises", "failed: ValueError: two lines (code.py, line "),
        ("leaves", "failed: SystemExit (code.py, line "),
        ("no_argument", "failed: TypeError"),
    ],
)
def test_reports_failing_code(check: Callable[..., int], name: str, says: str):
    with pytest.raises(EdgecnnError) as caught:
        check(name)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


def test_printed_text_goes_to_stderr(check: Callable[..., int], capsys: pytest.CaptureFixture[str]):
    check("prints")
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("printed")) == ("", 7)


def test_fits_mean_and_std_of_each_channel(check: Callable[..., int]):
    stated = replace(PREPROCESSING, mean=(0.1, 0.2, 0.3), std=(0.2, 0.3, 0.4))
    with pytest.raises(ProofFailed, match=r"match with --mean 0\.5,0\.5,0\.5 --std 0\.5,0\.5,0\.5"):
        check("right", stated)
