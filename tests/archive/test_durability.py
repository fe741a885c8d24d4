"""Tests of the order of syncs: a version must be on disk before `current` points to it."""

import os
from pathlib import Path

import pytest
from model_versions import put
from repository import COMMITTED

from edgecnn.archive.installing import install, rollback
from edgecnn.archive.packing import pack
from edgecnn.archive.unpacking import unpack


class Disk:
    """Records the changes of names and the syncs of this process, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[tuple[str, Path]] = []
        sync, make, replace, rename, link = os.fsync, os.mkdir, os.replace, os.rename, os.symlink

        def noting(name: str, call, place: int):
            def noted(*arguments, **keywords):
                done = call(*arguments, **keywords)
                self.events.append((name, Path(arguments[place]).absolute()))
                return done

            return noted

        def synced(descriptor: int) -> None:
            sync(descriptor)
            self.events.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink()))

        monkeypatch.setattr(os, "fsync", synced)
        for name, call, place in (("mkdir", make, 0), ("replace", replace, 1), ("rename", rename, 1)):
            monkeypatch.setattr(os, name, noting("name", call, place))
        monkeypatch.setattr(os, "symlink", noting("name", link, 1))

    def when(self, event: str, path: Path) -> int:
        """Return the index of the last such event."""
        return max(at for at, found in enumerate(self.events) if found == (event, path))

    def unsynced(self, folder: Path, *, before: int | None = None) -> list[Path]:
        """Return new names in a folder or its subfolders that are not synced."""
        events = self.events[:before]
        named = {path: at for at, (event, path) in enumerate(events) if event == "name" and folder in path.parents}
        synced = {path: at for at, (event, path) in enumerate(events) if event == "sync"}
        return sorted(path for path, at in named.items() if path.name[0] != "." and synced.get(path.parent, -1) < at)


def test_syncs_a_version_before_the_switch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    put(tmp_path, 2)
    (tmp_path / "2.sig").write_bytes(b"a signature")
    site = tmp_path / "var" / "lib" / "site"
    install(COMMITTED, site)
    disk = Disk(monkeypatch)
    install(tmp_path / "2", site)
    switched = disk.when("name", site / "current")
    assert disk.unsynced(tmp_path, before=switched) == []
    placed = disk.when("name", site / "versions" / "2")
    contents = [path for event, path in disk.events[:placed] if event == "sync" and ".2.new-" in str(path)]
    assert len(contents) == 5
    assert contents[-1].parent == site / "versions"  # the folder, after the four files in it
    assert disk.when("sync", site / "versions") < switched < disk.when("sync", site)


def test_syncs_every_new_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    put(tmp_path, 2)
    disk = Disk(monkeypatch)
    site = tmp_path / "var" / "lib" / "site"
    install(COMMITTED, site)
    install(tmp_path / "2", site)
    rollback(site)
    pack(COMMITTED, tmp_path / "archives" / "of" / "digits.tar")
    unpack(tmp_path / "archives" / "of" / "digits.tar", tmp_path / "bundles" / "of" / "digits")
    assert disk.unsynced(tmp_path) == []
    assert ("name", tmp_path / "var") in disk.events
