"""Cache of compiled graphs: identical answers, and rejection of damaged entries."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from repository import COMMITTED

from edgecnn.bundle.store import Bundle
from edgecnn.errors import CacheWarning, EdgecnnError
from edgecnn.files.digest import digest_file
from edgecnn.files.places import cache_folder
from edgecnn.runtime.engines import cache as engine_cache
from edgecnn.runtime.engines.cache import CacheKey, CacheSlot
from edgecnn.runtime.engines.registry import installed
from edgecnn.runtime.opening import open_session

ENGINES = pytest.mark.parametrize("engine", installed())


def entries() -> list[Path]:
    return sorted(path for path in (cache_folder() / "engines").glob("*") if path.is_dir())


def logits(bundle: Bundle, engine: str, *, cache: bool = True) -> np.ndarray:
    session = open_session(bundle, engine=engine, cache=cache)
    try:
        return session.run(bundle.self_test().images)
    finally:
        session.close()


@ENGINES
def test_a_cached_graph_gives_the_same_answers(engine: str, committed: Bundle):
    without = logits(committed, engine, cache=False)
    assert not entries()
    first = logits(committed, engine)
    (entry,) = entries()
    written = {file.name: file.stat().st_mtime_ns for file in entry.iterdir()}
    second = logits(committed, engine)
    np.testing.assert_array_equal(first, without)
    np.testing.assert_array_equal(second, without)
    assert {file.name: file.stat().st_mtime_ns for file in entry.iterdir()} == written


@ENGINES
@pytest.mark.parametrize("damage", ["bit-flip", "truncated", "no-entry", "invalid-json", "missing-file"])
def test_replaces_a_damaged_entry(engine: str, damage: str, committed: Bundle):
    expected = logits(committed, engine)
    (entry,) = entries()
    largest = max(entry.iterdir(), key=lambda file: file.stat().st_size)
    content = largest.read_bytes()
    if damage == "bit-flip":
        middle = len(content) // 2
        largest.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif damage == "truncated":
        largest.write_bytes(content[:-100])
    elif damage == "no-entry":
        (entry / "entry.json").unlink()
    elif damage == "invalid-json":
        (entry / "entry.json").write_text("{")
    else:
        largest.unlink()
    np.testing.assert_array_equal(logits(committed, engine), expected)
    assert entries() == [entry]
    # Compare with the new entry: OpenVINO does not write the same bytes each time.
    recorded = {name: file["sha256"] for name, file in json.loads((entry / "entry.json").read_text())["files"].items()}
    assert largest.name in recorded
    assert {file.name: digest_file(file) for file in entry.iterdir() if file.name != "entry.json"} == recorded


@ENGINES
def test_replaces_an_entry_that_the_engine_rejects(engine: str, committed: Bundle, monkeypatch: pytest.MonkeyPatch):
    expected = logits(committed, engine)
    (entry,) = entries()
    for file in entry.iterdir():  # the digests match, as if another build of the same version had written it
        if file.name != "entry.json":
            file.write_bytes(b"not a graph")
    monkeypatch.setattr(CacheSlot, "_intact", lambda self: True)
    np.testing.assert_array_equal(logits(committed, engine), expected)


def test_keys_identify_entries(tmp_path: Path):
    keys = [
        CacheKey("graph", "engine", "1", "cpu", "processor"),
        CacheKey("graph", "engine", "2", "cpu", "processor"),
        CacheKey("graph", "engine", "1", "cpu 2", "processor"),
        CacheKey("graph", "engine", "1", "cpu", "another"),
        CacheKey("another", "engine", "1", "cpu", "processor"),
    ]
    for key in keys:
        assert CacheSlot(key, tmp_path).read() is None
        CacheSlot(key, tmp_path).write(lambda folder: (folder / "file").write_text("content") and None)
    # Writing the entry of version 2 deleted the one of version 1. Writing version 1 again deleted that of version 2.
    assert CacheSlot(keys[1], tmp_path).read() is None
    assert all(CacheSlot(key, tmp_path).read() for key in (keys[2], keys[3], keys[4]))


def test_warns_if_the_cache_is_not_writable(committed: Bundle, monkeypatch: pytest.MonkeyPatch):
    blocked = cache_folder()
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_text("a file where the folder should be")
    for engine in installed():
        expected = logits(committed, engine, cache=False)
        with pytest.warns(CacheWarning, match="cannot keep the compiled graph"):
            np.testing.assert_array_equal(logits(committed, engine), expected)


def test_a_killed_writer_leaves_no_entry(tmp_path: Path):
    code = f"""
import os
from pathlib import Path
from edgecnn.runtime.engines.cache import CacheKey, CacheSlot

def fill(folder):
    (folder / "file").write_text("half")
    os.kill(os.getpid(), 9)

CacheSlot(CacheKey("graph", "engine", "1", "cpu", "processor"), Path({str(tmp_path)!r})).write(fill)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    slot = CacheSlot(CacheKey("graph", "engine", "1", "cpu", "processor"), tmp_path)
    assert slot.read() is None
    slot.write(lambda folder: (folder / "file").write_text("whole") and None)
    kept = slot.read()
    assert kept is not None
    assert (kept / "file").read_text() == "whole"
    assert list(tmp_path.iterdir()) == [kept]


@ENGINES
def test_processes_share_the_cache(engine: str, committed: Bundle):
    code = f"""
import edgecnn, numpy as np
from edgecnn.runtime.opening import open_session
bundle = edgecnn.open_bundle({str(COMMITTED)!r})
session = open_session(bundle, engine={engine!r}, cache=True)
assert np.abs(session.run(bundle.self_test().images) - bundle.self_test().logits).max() <= bundle.self_test().tolerance
"""
    running = [subprocess.Popen([sys.executable, "-W", "error", "-c", code]) for _ in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    assert len(entries()) == 1


@ENGINES
def test_closing_does_not_crash_running_threads(engine: str):
    code = f"""
import threading, time, edgecnn
from edgecnn.errors import EngineError
edgecnn.load({str(COMMITTED)!r}, engine={engine!r}, cache=True).close()
for _ in range(5):
    classifier = edgecnn.load({str(COMMITTED)!r}, engine={engine!r}, cache=True)
    images = classifier.bundle.self_test().images
    def run():
        try:
            while True:
                classifier.logits(images)
        except EngineError as error:
            assert "closed" in str(error)
    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads: thread.start()
    time.sleep(0.05)
    classifier.close()
    for thread in threads: thread.join()
print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=600)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_warns_without_a_home_folder(committed: Bundle, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("edgecnn.runtime.engines.cache.cache_folder", no_home)
    for engine in installed():
        with pytest.warns(CacheWarning, match="HOME"):
            assert len(logits(committed, engine)) == 32


def no_home() -> Path:
    raise EdgecnnError("no home folder: set HOME or XDG_CACHE_HOME")


def test_key_contains_version_and_processor():
    key = engine_cache.cache_key("graph", "engine", "1.2", "cpu")
    assert key.version == "1.2"
    assert key.processor
