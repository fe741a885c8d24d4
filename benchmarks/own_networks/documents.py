"""Pictures of text, for classifiers of its orientation: pages of several lines, and single lines.

The text comes from this repository's documents, the fonts from Matplotlib. A folder `train` and a folder `test` have
one subfolder per class: the angle in degrees by which the upright picture is turned, clockwise.
"""

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from benchmarks.common.results import REPOSITORY

_FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Italic", "DejaVuSansMono", "STIXGeneral")
_COUNTS = {"train": 200, "test": 250}


def write_pages(folder: Path) -> Path:
    """Write pages, turned by 0, 90, 180 or 270 degrees, unless they are there; return the folder."""
    return _write(folder, (0, 90, 180, 270), lines=(6, 24), sizes=(14, 26), width=(500, 800))


def write_lines(folder: Path) -> Path:
    """Write single lines, turned by 0 or 180 degrees, unless they are there; return the folder."""
    return _write(folder, (0, 180), lines=(1, 1), sizes=(24, 40), width=(140, 260))


def _write(
    folder: Path, angles: tuple[int, ...], *, lines: tuple[int, int], sizes: tuple[int, int], width: tuple[int, int]
) -> Path:
    words = " ".join(path.read_text(encoding="utf-8") for path in sorted(REPOSITORY.glob("docs/*.md"))).split()
    random = np.random.default_rng(0)
    for split, count in _COUNTS.items():
        for angle in angles:
            place = folder / split / str(angle)
            place.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                picture = _picture(random, words, lines=lines, sizes=sizes, width=width)
                turned = picture.rotate(-angle, expand=True)
                turned.save(place / f"{number:03}.jpg", quality=int(random.integers(60, 95)))
    return folder


def _picture(
    random: np.random.Generator,
    words: list[str],
    *,
    lines: tuple[int, int],
    sizes: tuple[int, int],
    width: tuple[int, int],
) -> Image.Image:
    """Return an upright picture of text with a slight slant and blur."""
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    size = int(random.integers(*sizes, endpoint=True))
    font = ImageFont.truetype(fonts / f"{random.choice(_FONTS)}.ttf", size)
    count, side = int(random.integers(*lines, endpoint=True)), int(random.integers(*width))
    margin = size // 2 if count > 1 else 0  # detectors of text cut lines out without a margin
    paper, ink = (tuple(int(level) for level in random.integers(*span, 3)) for span in ((200, 256), (0, 90)))
    picture = Image.new("RGB", (side, int(count * size * 1.5) + 2 * margin), paper)
    draw = ImageDraw.Draw(picture)
    for line in range(count):
        start = int(random.integers(len(words) - 40))
        text = " ".join(words[start : start + 40])
        draw.text((margin, int(line * size * 1.5) + margin), text, fill=ink, font=font)
    slanted = picture.rotate(float(random.normal(0, 1)), fillcolor=paper, resample=Image.Resampling.BILINEAR)
    return slanted.filter(ImageFilter.GaussianBlur(float(random.uniform(0, 0.8))))
