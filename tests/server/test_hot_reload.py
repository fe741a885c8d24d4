"""Tests of new versions that appear while the server runs (a number in a comment is a row in the table of faults)."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from held_engine import Engine
from model_versions import NAME, put
from reloading import BUNDLE, QUICK, digest, entry, wait_for_digest
from server_process import THREAD_SLACK, TIMEOUT_S, Server, binary_request, read_all, serving, start, wait_for


@contextmanager
def under_load(server: Server) -> Iterator[set[str]]:
    """Send requests from four threads and check every answer. Yield the digests of the bundles that answered."""
    expected = server.logits(server.images[:3])
    seen: set[str] = set()
    wrong: list[object] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            reply = server.infer(server.images[:3])
            if reply.status != 200:
                wrong.append(reply)
                continue
            seen.add(reply.headers[BUNDLE])
            raw = reply.body[int(reply.headers["inference-header-content-length"]) :]
            if not np.array_equal(np.frombuffer(raw, "<f4").reshape(3, -1), expected):
                wrong.append(reply)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert not wrong, wrong[:3]


def test_serves_new_versions_without_lost_requests(folder: Path):
    first = put(folder, 1)
    with serving(*QUICK, bundles=[folder], name=NAME) as server:
        assert digest(server) == first
        with under_load(server) as seen:
            second = put(folder, 2)
            wait_for_digest(server, second)
            tenth = put(folder, 10)
            wait_for_digest(server, tenth)
        assert seen == {first, second, tenth}
        assert server.get(f"/v2/models/{NAME}").json["versions"] == ["10"]
        assert server.get(f"/v2/models/{NAME}/versions/10/ready").status == 200
        assert server.get(f"/v2/models/{NAME}/versions/2").status == 404
        assert server.infer(server.images[:1]).json_part["model_version"] == "10"
        assert entry(server) == {"name": NAME, "version": "10", "state": "READY", "reason": ""}
        (stats,) = server.get(f"/v2/models/{NAME}/stats").json["model_stats"]
        assert stats["version"] == "10"
        wait_for(server.balanced)
        wait_for(lambda: server.footprint().threads <= server.base.threads + THREAD_SLACK)


@pytest.mark.slow
def test_finishes_a_run_on_its_version(folder: Path, tmp_path: Path):
    first = put(folder, 1)
    (tmp_path / "engine").mkdir()
    engine = Engine(tmp_path / "engine")
    options = (*QUICK, "--engine", "openvino")
    with serving(*options, bundles=[folder], name=NAME, environment=engine.environment) as server:
        engine.set("hold-1")
        replies: list[Any] = []
        thread = threading.Thread(target=lambda: replies.append(server.infer(server.images[:3])))
        before = len(engine.runs())
        thread.start()
        wait_for(lambda: len(engine.runs()) > before)
        second = put(folder, 2)
        wait_for(lambda: entry(server)["version"] == "2")
        assert digest(server) == second
        assert not replies
        engine.clear("hold-1")
        thread.join()
        assert replies[0].body == server.golden
        assert replies[0].headers[BUNDLE] == first
        wait_for(lambda: server.footprint().threads <= server.base.threads + THREAD_SLACK)  # the old engine is closed


@pytest.mark.slow
def test_finishes_an_upload_on_its_version(folder: Path):
    first = put(folder, 1)
    with serving(*QUICK, "--body-timeout-s", 300, bundles=[folder], name=NAME) as server:
        body, length = binary_request(server.images[:3])
        head = f"POST /v2/models/{NAME}/versions/1/infer HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        head += "Expect: 100-continue\r\n"
        head += f"Inference-Header-Content-Length: {length}\r\nContent-Length: {len(body)}\r\n\r\n"
        with server.connect() as whole, server.connect() as half:
            for sock in (whole, half):
                sock.sendall(head.encode())
                assert sock.recv(100).startswith(b"HTTP/1.1 100")  # the server accepts the upload
                sock.sendall(body[:-1])
            put(folder, 2)
            wait_for(lambda: entry(server)["version"] == "2")
            whole.sendall(body[-1:])
            answer = read_all(whole)
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(server.golden)
        assert f"X-Bundle-Digest: {first}".encode() in answer
        assert server.get(f"/v2/models/{NAME}/versions/1").status == 404
        wait_for(lambda: server.footprint().threads <= server.base.threads + THREAD_SLACK)  # the old engine is closed
        wait_for(server.balanced)


@pytest.mark.slow
def test_any_version_of_a_loading_model_is_503(folder: Path, tmp_path: Path):
    put(folder, 1)
    (tmp_path / "engine").mkdir()
    engine = Engine(tmp_path / "engine")
    options = (*QUICK, "--engine", "openvino")
    with serving(*options, bundles=[folder], name=NAME, environment=engine.environment) as server:
        engine.set("hold")  # blocks the next worker while it loads
        (worker,) = server.worker_pids()
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: _status(server, f"/v2/models/{NAME}/versions/1/ready") == 503)
        assert _status(server, f"/v2/models/{NAME}/versions/1") == 503
        assert _status(server, f"/v2/models/{NAME}/versions/one") == 404
        engine.clear("hold")
        wait_for(lambda: _status(server, f"/v2/models/{NAME}/versions/1/ready") == 200)
        assert _status(server, f"/v2/models/{NAME}/versions/2/ready") == 404


def _status(server: Server, path: str) -> int | None:
    try:
        return server.get(path).status
    except OSError:  # no worker is running
        return None


@pytest.mark.slow
def test_warns_about_folders_that_are_not_versions(folder: Path):
    first = put(folder, 1)
    shutil.copytree(folder / "1", folder / "backup")
    warning = f"{folder} is a folder of versions: backup is ignored: its name is not a number"
    with serving(bundles=[folder], name=NAME) as server:
        assert digest(server) == first
        assert [line for line in server.lines if "WARNING" in line and line.rstrip().endswith(warning)]
    process, lines = start("--strict", bundles=[folder])
    assert process.wait(TIMEOUT_S) == 2
    wait_for(lambda: any(warning in line for line in lines))


@pytest.mark.slow
def test_returns_to_the_version_below(folder: Path):
    first = put(folder, 1)
    put(folder, 2)
    with serving(*QUICK, bundles=[folder], name=NAME) as server:
        (folder / "2").rename(folder / ".2")
        wait_for_digest(server, first)


@pytest.mark.slow
def test_counts_statistics_per_version(folder: Path):
    put(folder, 1)
    with serving(*QUICK, bundles=[folder], name=NAME) as server:
        (before,) = server.get(f"/v2/models/{NAME}/stats").json["model_stats"]
        assert (before["version"], before["inference_count"]) == ("1", 3)
        put(folder, 2)
        wait_for(lambda: entry(server)["version"] == "2")
        (after,) = server.get(f"/v2/models/{NAME}/stats").json["model_stats"]
        assert (after["version"], after["inference_count"], after["execution_count"]) == ("2", 0, 0)
        digest(server)
        assert server.post(b"{").status == 400
        (after,) = server.get(f"/v2/models/{NAME}/stats").json["model_stats"]
        assert (after["inference_count"], after["inference_stats"]["fail"]["count"]) == (1, 1)
        assert server.metrics()["succeeded"] == 2  # counted per model


@pytest.mark.slow
def test_follows_a_renamed_version(folder: Path):
    put(folder, 1)
    with serving(*QUICK, bundles=[folder], name=NAME) as server:
        (folder / "1").rename(folder / "3")
        wait_for(lambda: entry(server)["version"] == "3")


@pytest.mark.slow
def test_serves_a_replaced_bundle(tmp_path: Path):
    where = tmp_path / "models"
    where.mkdir()
    put(where, 1)
    bundle = (where / "1").rename(where / "photos")
    with serving(*QUICK, bundles=[bundle]) as server:
        second = put(where, 2)
        bundle.rename(where / ".old")
        (where / "2").rename(bundle)
        wait_for_digest(server, second)
        assert server.get(f"/v2/models/{server.name}").json["versions"] == ["1"]


@pytest.mark.slow
def test_serves_from_memory_without_the_folder(folder: Path):  # 79
    put(folder, 1)
    with serving(*QUICK, bundles=[folder], name=NAME) as server:
        shutil.rmtree(folder)
        time.sleep(0.5)  # several checks of the watcher
        assert not [line for line in server.lines if "ERROR" in line]
        assert server.infer(server.images[:3]).body == server.golden


@pytest.mark.slow
def test_does_not_reload_without_watching(folder: Path):
    first = put(folder, 1)
    with serving("--watch-s", 0, bundles=[folder], name=NAME) as server:
        put(folder, 2)
        time.sleep(0.5)
        assert digest(server) == first
