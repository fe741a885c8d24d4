"""Find the images among files by their headers, and report the files that are left out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecnn.bundle.decoding import ImageHeader, Mode, decode, read_header
from edgecnn.errors import ImageError, UnknownFormat
from edgecnn.hints import few
from edgecnn.pipeline.data.source import report

_KINDS = 3  # kinds of files described in a warning
_LOOKED_AT = 32


@dataclass(frozen=True)
class Scan:
    """The images among some files, each with its header, or None if it is damaged.

    `others` are the other files, each with what it is.
    """

    images: tuple[tuple[Path, ImageHeader | None], ...]
    others: tuple[tuple[Path, str], ...]

    @property
    def paths(self) -> list[Path]:
        """The paths of the images."""
        return [path for path, _ in self.images]


def scan(files: Iterable[Path]) -> Scan:
    """Read the header of each file. Decoding reports the damaged ones later, with the reason."""
    images: list[tuple[Path, ImageHeader | None]] = []
    others = []
    for path in files:
        try:
            images.append((path, read_header(path)))
        except UnknownFormat as error:
            others.append((path, str(error).removeprefix(f"{path} ")))
        except ImageError:
            images.append((path, None))
    return Scan(tuple(images), tuple(others))


def report_unused(files: Sequence[Path], root: Path, reason: str, *, strict: bool) -> None:
    """Report files that are left out.

    Raises:
        SourceError: there are such files, and `strict` is set.
    """
    if not files:
        return
    names = few([str(path.relative_to(root)) for path in files])
    report(f"{root}: {counted(files)} left out ({names}): {reason}", strict=strict)


def report_others(others: Sequence[tuple[Path, str]], root: Path, *, strict: bool) -> None:
    """Report files that are left out because they are no images, one of each kind.

    Raises:
        SourceError: there are such files, and `strict` is set.
    """
    if not others:
        return
    kinds: dict[str, list[Path]] = {}
    for path, kind in others:
        kinds.setdefault(kind, []).append(path)
    parts = [
        f"{paths[0].relative_to(root)} {kind}{f' (and {len(paths) - 1} more)' if len(paths) > 1 else ''}"
        for kind, paths in kinds.items()
    ]
    report(f"{root}: {counted(others)} left out: {'; '.join(parts[:_KINDS])}", strict=strict)


def counted(files: Sequence[object]) -> str:
    """Return the number of files with its verb."""
    return "1 file is" if len(files) == 1 else f"{len(files)} files are"


def colour_mode(images: Sequence[tuple[Path, ImageHeader | None]], root: Path, *, strict: bool) -> Mode:
    """Return the colour mode of images: `L` if all are grey, also if colour files have equal channels.

    If there are grey and colour images, all are read as RGB, which loses nothing, and this is reported.
    """
    coloured = [path for path, header in images if header is not None and not header.is_grey]
    # Colour usually shows in a few files, spread over the folder. Only grey images stored as colour are all decoded.
    step = max(1, len(coloured) // _LOOKED_AT)
    spread_out = [*coloured[::step], *(path for index, path in enumerate(coloured) if index % step)]
    if not any(_has_colour(path) for path in spread_out):
        return "L"
    grey = sum(header is not None and header.is_grey for _, header in images)
    if grey:
        report(
            f"{grey} of {len(images)} training images in {root} are grey, others are colour: all are read as RGB",
            strict=strict,
        )
    return "RGB"


def _has_colour(path: Path) -> bool:
    try:
        pixels = np.asarray(decode(path, "RGB"))
    except ImageError:
        return False
    return bool((pixels != pixels[:, :, :1]).any())
