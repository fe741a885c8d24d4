"""Image folders with one subfolder per class, under a folder for each split, or without splits.

A folder without splits is split by image content.
"""

import dataclasses
from functools import cached_property
from pathlib import Path

import numpy as np

from edgecnn.bundle.decoding import ImageHeader, Mode
from edgecnn.errors import SourceError
from edgecnn.files.listing import files_in
from edgecnn.pipeline.data.images import FileImages
from edgecnn.pipeline.data.layout import class_folders, find_layout
from edgecnn.pipeline.data.matching import listed
from edgecnn.pipeline.data.scanning import Scan, colour_mode, report_others, report_unused, scan
from edgecnn.pipeline.data.source import Split, check_split, split_by_content


class ImageFolder:
    """Images on disk, one subfolder per class. The labels are the sorted class names."""

    def __init__(self, root: Path, *, strict: bool = False) -> None:
        """Find the splits and the classes of the folder `root`.

        Warns:
            SourceWarning: files are left out.

        Raises:
            SourceError: the folder is missing, has no class folders or an ambiguous layout; or files are left out, and
                `strict` is set.
        """
        self._layout = find_layout(root)
        self._root, self._strict = root, strict
        self._scans: dict[Path, dict[str, Scan]] = {}
        self._read_folders: dict[Path, Split] = {}
        self._training = self._layout.train or root
        self.name = root.resolve().name
        self.labels = tuple(class_folders(self._training))
        if not self.labels:
            raise SourceError(
                f"{self._training} has no class folders: expected one subfolder per class, with images in it"
            )
        for folders, reason in (
            (self._layout.unlabelled, "has no class folders"),
            (self._layout.unused, "is not a split"),
        ):
            for folder in folders:
                report_unused(files_in(folder), root, f"{folder.name}/ {reason}", strict=strict)

    @cached_property
    def mode(self) -> Mode:
        """The colour mode of the training images."""
        return colour_mode(self._training_images(), self._training, strict=self._strict)

    @property
    def folders(self) -> dict[str, str]:
        """The folder of each split, relative to the root."""
        if self._layout.train is None:
            return dict.fromkeys(("train", "test"), ".")
        test, validation = self._layout.test or self._layout.validation, self._layout.test and self._layout.validation
        found = {"train": self._layout.train, "validation": validation, "test": test}
        return {split: folder.name for split, folder in found.items() if folder is not None}

    @cached_property
    def sides(self) -> np.ndarray:
        """The shorter side of each training image whose header is intact, in pixels, int64 [N]."""
        headers = [header for _, header in self._training_images() if header is not None]
        return np.array([min(header.width, header.height) for header in headers], np.int64)

    def split(self, name: str) -> Split:
        """See `DataSource.split`. `val/` is the test split of a folder without `test/`."""
        check_split(self._root, name)
        if self._layout.train is None:
            undivided = self._read(self._root, name)
            return split_by_content(undivided, name, place=self._root, remedy="divide it into train/ and test/")
        if name not in self.folders:
            raise SourceError(f"{self._root} has train/, but no test images: add test/ or val/ with class folders")
        return self._read(self._root / self.folders[name], name)

    def validation(self) -> Split | None:
        """Return the images of `val/` next to `test/`; None if there are none."""
        folder = self.folders.get("validation")
        return None if folder is None else self._read(self._root / folder, "validation")

    def _training_images(self) -> list[tuple[Path, ImageHeader | None]]:
        return [image for found in self._scan(self._training).values() for image in found.images]

    def _read(self, folder: Path, name: str) -> Split:
        """Return the images of a folder. Their digests are computed once, also if several splits share them."""
        if folder not in self._read_folders:
            self._read_folders[folder] = self._found(folder)
        return dataclasses.replace(self._read_folders[folder], name=name)

    def _found(self, folder: Path) -> Split:
        found = self._scan(folder)
        unknown = [label for label in found if label not in self.labels]
        if unknown:
            raise SourceError(
                f"{folder} has the classes {listed(unknown)}, which {self._training} does not have: "
                f"expected {listed(self.labels)}"
            )
        paths: list[Path] = []
        targets: list[int] = []
        for target, label in enumerate(self.labels):
            images = found[label].paths if label in found else []
            if not images and folder == self._training:
                raise SourceError(f"{folder / label} has no images: add some or remove the folder")
            paths += images
            targets += [target] * len(images)
        if not paths:
            raise SourceError(f"{folder} has no images in its class folders: add some or remove the folder")
        return Split(
            self.name, "", FileImages(paths), np.asarray(targets, dtype=np.int64), self._root, strict=self._strict
        )

    def _scan(self, folder: Path) -> dict[str, Scan]:
        """Return the images of each class, and report the files that are left out, once per folder."""
        if folder not in self._scans:
            found = {
                label: scan(path for place in places for path in files_in(place))
                for label, places in class_folders(folder).items()
            }
            self._scans[folder] = found
            if not any(each.images for each in found.values()):
                raise SourceError(f"{folder} has no images in its class folders: add some")
            others = [other for each in found.values() for other in each.others]
            report_others(others, self._root, strict=self._strict)
            loose = scan(sorted(path for path in folder.iterdir() if path.is_file())).paths
            report_unused(loose, self._root, "they are in no class folder", strict=self._strict)
        return self._scans[folder]
