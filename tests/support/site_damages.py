"""What copying, memory cards, full disks and power cuts leave of a site.

The site has the versions 1, 2 and 3. Version 2 is current, because 3 was rolled back; 1 was current before 2.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

Damage = Callable[[Path], object]


def _links(site: Path) -> Iterator[Path]:
    return (path for path in sorted(site.rglob("*")) if path.is_symlink())


def _follow_links(site: Path) -> None:
    copy = shutil.copytree(site, site.with_name("copy"))  # as `cp -rL` does
    shutil.rmtree(site)
    Path(copy).rename(site)


def _follow_links_and(damage: Damage) -> Damage:
    def both(site: Path) -> None:
        _follow_links(site)
        damage(site)

    return both


def _replace_links(site: Path, content: Callable[[Path], bytes]) -> None:
    for link in _links(site):
        target = link.readlink()
        link.unlink()
        link.write_bytes(content(target))


def _drop_links(site: Path) -> None:
    for link in _links(site):
        link.unlink()


def _replace(path: str, content: bytes | None = None, *, folder: bool = False) -> Damage:
    def damage(site: Path) -> None:
        place = site / path
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        elif os.path.lexists(place):
            place.unlink()
        if content is not None:
            place.write_bytes(content)
        elif folder:
            place.mkdir()

    return damage


def _edit(path: str, edit: Callable[[bytes], bytes]) -> Damage:
    def damage(site: Path) -> None:
        (site / path).write_bytes(edit((site / path).read_bytes()))

    return damage


def _zeros(content: bytes) -> bytes:
    return bytes(len(content))


def _half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _point(path: str, target: str) -> Damage:
    def damage(site: Path) -> None:
        (site / path).unlink(missing_ok=True)
        (site / path).symlink_to(target)

    return damage


def _drop_current_and_history(site: Path) -> None:
    _drop_links(site)
    (site / "previous").rmdir()


def _half_copied_version(site: Path) -> None:
    (site / "versions" / "4").mkdir()
    shutil.copy(site / "versions" / "3" / "model.onnx", site / "versions" / "4")


def _truncated_new_version(site: Path) -> None:
    shutil.copytree(site / "versions" / "3", site / "versions" / "4")
    _edit("versions/4/model.onnx", _half)(site)


def _leftovers(site: Path) -> None:
    shutil.copytree(site / "versions" / "3", site / "versions" / ".4.new-0123456789ab")
    (site / ".current.new-0123456789ab").symlink_to("versions/3")
    (site / "versions" / ".3.gone-0123456789ab").mkdir()
    (site / "versions" / ".3.sig.new-0123456789ab").write_bytes(b"")


def _files_of_other_systems(site: Path) -> None:
    for name in (".DS_Store", "._current", "Thumbs.db", "FSCK0000.REC"):
        (site / name).write_bytes(b"\0")
    (site / "lost+found").mkdir()
    (site / "versions" / "._2").write_bytes(b"\0")


CHOOSE = "choose a version: edgecnn install "
AGAIN = r"install the bundle again: edgecnn install BUNDLE --to \S+"
NO_HISTORY = "no version before version 2 is kept"

DAMAGES: dict[str, tuple[Damage, str | int, str | int]] = {
    # Copies
    "links followed": (_follow_links, 2, f"current is a folder and not a link to a version; {CHOOSE}"),
    "links followed, current damaged": (
        _follow_links_and(lambda site: (site / "current" / "model.onnx").write_bytes(b"")),
        f"current/model.onnx has 0 bytes, .*; {CHOOSE}",
        f"current is a folder and not a link to a version; {CHOOSE}",
    ),
    "links followed, version missing": (
        _follow_links_and(lambda site: shutil.rmtree(site / "versions" / "2")),
        2,
        f"current is a folder and not a link to a version; {CHOOSE}",
    ),
    "links as files": (
        lambda site: _replace_links(site, os.fsencode),
        f"current is not a link to a version: .*; {CHOOSE}\\S+/versions/2 --to",
        f"current is not a link to a version: .*; {CHOOSE}\\S+/versions/2 --to",
    ),
    "links as empty files": (
        lambda site: _replace_links(site, lambda _: b""),
        rf"current is not a link to a version: .*; {CHOOSE}\S+/versions/N --to \S+ \(N is 1, 2, 3\)",
        f"current is not a link to a version: .*; {CHOOSE}",
    ),
    "links dropped": (_drop_links, f"current is missing: .*; {CHOOSE}", f"current is missing: .*; {CHOOSE}"),
    "links and empty folders dropped": (
        _drop_current_and_history,
        f"current is missing: .*; {CHOOSE}",
        f"current is missing: .*; {CHOOSE}",
    ),
    "links and empty folders dropped, files of other systems": (
        lambda site: (_drop_current_and_history(site), _files_of_other_systems(site)),
        f"current is missing: .*; {CHOOSE}",
        f"current is missing: .*; {CHOOSE}",
    ),
    "links followed, versions dropped": (
        _follow_links_and(lambda site: shutil.rmtree(site / "versions")),
        2,
        "no bundle is installed in",
    ),
    "files of other systems": (_files_of_other_systems, 2, 1),
    # `current`
    "current missing": (_replace("current"), f"current is missing: .*; {CHOOSE}", f"current is missing: .*; {CHOOSE}"),
    "current of zeros": (_replace("current", bytes(64)), f"not a link to a version: .*; {CHOOSE}", CHOOSE),
    "current an empty folder": (_replace("current", folder=True), f"not a link to a version: .*; {CHOOSE}", CHOOSE),
    "current to a missing version": (_replace("versions/2"), rf"versions/2 .*found nothing; {AGAIN}, or return", 1),
    "current to another missing version": (_point("current", "versions/9"), f"versions/9 .*; {AGAIN}$", "no version"),
    # The current version
    "manifest missing": (_replace("versions/2/manifest.json"), f"no manifest.json; {AGAIN}, or return", 1),
    "manifest empty": (_replace("versions/2/manifest.json", b""), f"{AGAIN}, or return to the version before", 1),
    "manifest of zeros": (_edit("versions/2/manifest.json", _zeros), f"{AGAIN}, or return", 1),
    "graph of zeros": (_edit("versions/2/model.onnx", _zeros), f"2/model.onnx has changed .*; {AGAIN}, or return", 1),
    "graph truncated": (_edit("versions/2/model.onnx", _half), f"2/model.onnx has .* bytes, .*; {AGAIN}", 1),
    "graph missing": (_replace("versions/2/model.onnx"), f"2/model.onnx is missing: .*; {AGAIN}", 1),
    "self-test of zeros": (_edit("versions/2/self_test.npz", _zeros), f"2/self_test.npz has changed .*; {AGAIN}", 1),
    "proof empty": (_replace("versions/2/proof.json", b""), f"2/proof.json has 0 bytes, .*; {AGAIN}", 1),
    "another file": (_replace("versions/2/._model.onnx", b"\0"), rf"2/._model.onnx is not named .*; {AGAIN}", 1),
    "an empty version": (_replace("versions/2", folder=True), f"versions/2 .* no manifest.json; {AGAIN}", 1),
    "a file as version": (_replace("versions/2", b""), f"versions/2 .*found a file; {AGAIN}", 1),
    # The other versions, and the history
    "target of zeros": (_edit("versions/1/model.onnx", _zeros), 2, "cannot roll back .* to version 1: .*/1/model.onnx"),
    "target missing": (_replace("versions/1"), 2, NO_HISTORY),
    "target without a manifest": (_replace("versions/1/manifest.json"), 2, NO_HISTORY),
    "undone version of zeros": (_edit("versions/3/model.onnx", _zeros), 2, 1),
    "undone version missing": (_replace("versions/3"), 2, 1),
    "history missing": (_replace("previous"), 2, NO_HISTORY),
    "history a file": (_replace("previous", b""), 2, NO_HISTORY),
    "record missing": (_replace("previous/2"), 2, NO_HISTORY),
    "record empty": (_replace("previous/2", b""), 2, NO_HISTORY),
    "record a file": (_replace("previous/2", b"../versions/1"), 2, 1),
    "record an empty folder": (_replace("previous/2", folder=True), 2, NO_HISTORY),
    # Work that was interrupted
    "leftovers": (_leftovers, 2, 1),
    "a half copied version": (_half_copied_version, 2, 1),
    "a truncated new version": (_truncated_new_version, 2, 1),
    "an empty record of a rollback": (_replace(".rolling-back", b""), 2, 1),
    "a folder as record of a rollback": (_replace(".rolling-back", folder=True), 2, 1),
    "a finished rollback": (_point(".rolling-back", "versions/3"), 2, "rolled back"),
    # Everything
    "no versions": (_replace("versions"), f"versions/2 .*; {AGAIN}$", "no bundle is installed in"),
    "versions a file": (_replace("versions", b""), f"versions/2 .*; {AGAIN}$", "no bundle is installed in"),
}
"""For each damage: the version that `serve`, `verify` and `predict` use, and the one that `rollback` makes current, or
the error of each."""
