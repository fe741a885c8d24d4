"""Find the splits and the class folders of an image folder."""

import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from edgecnn.errors import SourceError
from edgecnn.files.listing import subfolders

SPLITS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Names of the folders of each split, in any case."""

_SPLIT_OF = {name: split for split, names in SPLITS.items() for name in names}
_EXPECTED = "expected one subfolder per class, under train/ and test/ or at the top level"


@dataclass(frozen=True)
class FolderLayout:
    """The folders of each split, and the subfolders of the root that belong to no split.

    Without `train`, the root itself contains the class folders. `unlabelled` are split folders without class folders.
    """

    train: Path | None
    validation: Path | None
    test: Path | None
    unlabelled: tuple[Path, ...] = ()
    unused: tuple[Path, ...] = ()


def find_layout(root: Path) -> FolderLayout:
    """Find the splits of a folder.

    A folder with the name of a split is a split if it has class folders; otherwise, next to class folders, it is a
    class.

    Raises:
        SourceError: the folder is missing or empty, the layout is ambiguous, or there are no training images.
    """
    if not root.is_dir():
        raise SourceError(f"{root} is not a folder: {_EXPECTED}")
    children = subfolders(root)
    named = [child for child in children if child.name.casefold() in _SPLIT_OF]
    splits = [child for child in named if subfolders(child)]
    others = [child for child in children if child not in named]
    if not splits:
        if named and not others:
            raise SourceError(f"{named[0]} has no class folders: {_EXPECTED}")
        _check_depth(root, others)
        return FolderLayout(None, None, None)
    found: dict[str, Path] = {}
    for child in splits:
        split = _SPLIT_OF[child.name.casefold()]
        if split in found:
            raise SourceError(
                f"{root} has {found[split].name}/ and {child.name}/: keep one folder for the {split} split"
            )
        found[split] = child
    if "train" not in found:
        names = ", ".join(f"{child.name}/" for child in splits)
        raise SourceError(f"{root} has {names} but no train/ with class folders: put the training images there")
    return FolderLayout(
        found["train"],
        found.get("validation"),
        found.get("test"),
        unlabelled=tuple(child for child in named if child not in splits),
        unused=tuple(others),
    )


def class_folders(folder: Path) -> dict[str, list[Path]]:
    """Return the class names of a folder, sorted, and the folders of each: two if their names differ in Unicode form.

    Raises:
        SourceError: a name is not UTF-8.
    """
    found: dict[str, list[Path]] = {}
    for child in subfolders(folder):
        try:
            child.name.encode()
        except UnicodeEncodeError:
            raise SourceError(
                f"the folder {os.fsencode(child.name)!r} in {folder} has a name that is not UTF-8: rename it"
            ) from None
        found.setdefault(unicodedata.normalize("NFC", child.name), []).append(child)
    return dict(sorted(found.items()))


def _check_depth(root: Path, children: list[Path]) -> None:
    """Check that the class folders are not one level deeper.

    Raises:
        SourceError: a subfolder has the layout that is expected of the root.
    """
    for child in children:
        inner = subfolders(child)
        names = ", ".join(f"{each.name}/" for each in inner[:3])
        if any(each.name.casefold() in _SPLIT_OF and subfolders(each) for each in inner):
            raise SourceError(f"{root} has no class folders, but {child} has {names}: pass {child}")
        if len(children) == 1 and len(inner) > 1:
            raise SourceError(f"{root} has one class folder, and {child} has the subfolders {names}: pass {child}")
