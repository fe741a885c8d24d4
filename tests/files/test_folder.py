"""Tests of atomic folders: a crash or a full disk at every operation."""

import subprocess
import sys
from pathlib import Path

import pytest

from edgecnn.errors import EdgecnnError, OutputExists, UsageError
from edgecnn.files.folder import check_output, write_folder

OLD = {"manifest.json": b"old manifest", "a": b"old"}
NEW = {"manifest.json": b"new manifest", "a": b"new" * 1000, "b": b"b"}

# A child process that crashes or fails at the k-th change of the disk. A write is first done by half.
CHILD = """
import errno, os, sys
from pathlib import Path
import edgecnn.files.folder as folder
target, deadly, exchange, how = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
count = 0
def guarded(name, call):
    def run(*arguments, **keywords):
        global count
        count += 1
        if count == deadly:
            if name == "write":
                call(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            if how == "die":
                os._exit(9)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return call(*arguments, **keywords)
    return run
deletions = ("unlink", "rmdir") if how == "die" else ()  # deleting needs no space
for name in ("mkdir", "write", "fsync", "rename", *deletions):
    setattr(os, name, guarded(name, getattr(os, name)))
folder._exchange = guarded("exchange", folder._exchange) if exchange == "yes" else lambda first, second: False
new = {"manifest.json": b"new manifest", "a": b"new" * 1000, "b": b"b"}
try:
    folder.write_folder(target, new, marker="manifest.json", force=True)
except folder.EdgecnnError as error:
    print(error)
    sys.exit(1)
print(count)
sys.exit(0 if count < deadly or not deadly else 1)
"""


def content(path: Path) -> dict[str, bytes]:
    return {child.name: child.read_bytes() for child in path.iterdir()}


def run_child(
    target: Path, deadly: int, *, exchange: str = "yes", how: str = "die"
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CHILD, str(target), str(deadly), exchange, how]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_writes_a_new_folder(tmp_path: Path):
    write_folder(tmp_path / "deep" / "out", NEW, marker="manifest.json")
    assert content(tmp_path / "deep" / "out") == NEW
    assert [child.name for child in (tmp_path / "deep").iterdir()] == ["out"]


def test_keeps_an_existing_folder_without_force(tmp_path: Path):
    write_folder(tmp_path / "out", OLD, marker="manifest.json")
    with pytest.raises(OutputExists, match="--force"):
        write_folder(tmp_path / "out", NEW, marker="manifest.json")
    assert content(tmp_path / "out") == OLD


def test_force_replaces_a_folder(tmp_path: Path):
    write_folder(tmp_path / "out", OLD, marker="manifest.json")
    write_folder(tmp_path / "out", NEW, marker="manifest.json", force=True)
    assert content(tmp_path / "out") == NEW
    assert [child.name for child in tmp_path.iterdir()] == ["out"]


def test_force_keeps_a_folder_without_the_marker(tmp_path: Path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letters.txt").write_text("dear")
    with pytest.raises(UsageError, match=r"manifest\.json"):
        check_output(tmp_path / "home", marker="manifest.json", force=True)
    assert (tmp_path / "home" / "letters.txt").exists()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_force_keeps_a_file_or_a_link(tmp_path: Path, kind: str):
    out = tmp_path / "out"
    out.write_text("x") if kind == "file" else out.symlink_to(tmp_path)
    with pytest.raises(UsageError):
        write_folder(out, NEW, marker="manifest.json", force=True)


@pytest.mark.parametrize("name", ["/", ".", ".."])
def test_rejects_an_invalid_path(name: str):
    with pytest.raises(UsageError):
        check_output(Path(name), marker="manifest.json", force=True)


def operations(tmp_path: Path, **how: str) -> int:
    """Return the number of operations of a replacement."""
    write_folder(tmp_path / "count", OLD, marker="manifest.json")
    done = run_child(tmp_path / "count", 0, **how)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("exchange", ["yes", "no"])
def test_kill_leaves_the_old_or_the_new_folder(tmp_path: Path, exchange: str):
    steps = operations(tmp_path, exchange=exchange)
    assert steps > 8
    for step in range(1, steps + 1):
        target = tmp_path / f"kill-{step}" / "out"
        write_folder(target, OLD, marker="manifest.json")
        assert run_child(target, step, exchange=exchange).returncode == 9, f"operation {step}"
        if exchange == "yes":
            assert content(target) in (OLD, NEW), f"killed at operation {step}"
        # The next writer replaces the folder and deletes leftovers.
        write_folder(target, NEW, marker="manifest.json", force=True)
        assert content(target) == NEW
        assert [child.name for child in target.parent.iterdir()] == ["out"]


def test_failed_writer_restores_after_a_kill(tmp_path: Path):
    target = tmp_path / "out"
    write_folder(target, OLD, marker="manifest.json")
    target.rename(tmp_path / ".out.old-0123456789ab")  # killed between the two renames
    with pytest.raises(OutputExists):
        write_folder(target, NEW, marker="manifest.json")
    assert content(target) == OLD


@pytest.mark.parametrize(
    "name", [".out.old-backup", ".out.new-2026", ".out.old-0123456789AB", ".outer.old-0123456789ab"]
)
def test_keeps_other_hidden_folders(tmp_path: Path, name: str):
    (tmp_path / name).mkdir()
    write_folder(tmp_path / "out", OLD, marker="manifest.json")
    write_folder(tmp_path / "out", NEW, marker="manifest.json", force=True)
    assert sorted(child.name for child in tmp_path.iterdir()) == sorted([name, "out"])


def test_keeps_leftovers_of_other_names(tmp_path: Path):
    (tmp_path / ".abc.old-0123456789ab").mkdir()
    write_folder(tmp_path / "a*c", NEW, marker="manifest.json")
    assert (tmp_path / ".abc.old-0123456789ab").is_dir()


@pytest.mark.parametrize("exchange", ["yes", "no"])
def test_full_disk_changes_nothing(tmp_path: Path, exchange: str):
    for step in range(1, operations(tmp_path, how="full", exchange=exchange) + 1):
        target = tmp_path / f"full-{step}" / "out"
        write_folder(target, OLD, marker="manifest.json")
        done = run_child(target, step, how="full", exchange=exchange)
        found = content(target)
        assert found in (OLD, NEW)
        if found == OLD:
            assert done.returncode == 1
            assert "No space left on device" in done.stdout
            assert "unchanged" in done.stdout
        else:
            assert "cannot be synced" in done.stdout
        assert [child.name for child in target.parent.iterdir()] == ["out"]


def test_file_size_limit_changes_nothing(tmp_path: Path):
    target = tmp_path / "out"
    write_folder(target, OLD, marker="manifest.json")
    code = (
        "import resource, signal, sys; from pathlib import Path; from edgecnn.files.folder import write_folder\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "new = {'manifest.json': b'm', 'a': bytes(10**6)}\n"
        "write_folder(Path(sys.argv[1]), new, marker='manifest.json', force=True)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(target)], capture_output=True, text=True, check=False)
    assert "File too large" in done.stderr
    assert content(target) == OLD
    assert [child.name for child in tmp_path.iterdir()] == ["out"]


def test_keeps_the_workspace_of_a_running_writer(tmp_path: Path):
    from edgecnn.files import folder

    with folder.workspace(tmp_path / "out") as living:
        write_folder(tmp_path / "out", NEW, marker="manifest.json")
        assert living.is_dir()
    assert content(tmp_path / "out") == NEW


def test_reports_an_unwritable_folder(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(EdgecnnError, match="file: File exists"):
        write_folder(tmp_path / "file" / "out", NEW, marker="manifest.json")
