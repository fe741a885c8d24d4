"""Images that end the worker or hang a decoder: suspects, refusals, and reports of the server."""

import contextlib
import http.client
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from image_files import encoded
from PIL import Image
from server_messages import Reply, wait_for
from server_process import Server, serving

from edgecnn.host.child import child_environment

PACKAGE = Path(__file__).parents[1] / "support" / "fake_decoder"
PNG = {"Content-Type": "image/png"}


def png(width: int, height: int = 20) -> bytes:
    return encoded(Image.new("L", (width, height), 200), "PNG")


@contextlib.contextmanager
def decoding(folder: Path, *options: object) -> Iterator[Server]:
    """Start a server with the decoders of `fake_decoder`."""
    path = os.pathsep.join([str(PACKAGE), child_environment()["PYTHONPATH"]])
    with serving(*options, environment={"HELD_DECODER": str(folder), "PYTHONPATH": path}) as server:
        try:
            yield server
        finally:
            (folder / "hold").unlink(missing_ok=True)


def ask(server: Server, file: bytes) -> Reply | None:
    """Send an image; return None if the worker ended."""
    with contextlib.suppress(http.client.HTTPException, ConnectionError):
        return server.post(file, PNG)
    return None


def wait_until_ready(server: Server, restarts: int) -> None:
    ready = "the worker is ready again"
    wait_for(lambda: sum(ready in line for line in server.lines) >= restarts)


def held(server: Server, folder: Path, file: bytes, clients: ThreadPoolExecutor) -> "Future[Reply | None]":
    """Send an image of 11 pixels; return when it is being decoded."""
    (folder / "begun").unlink(missing_ok=True)
    (folder / "hold").touch()
    answer = clients.submit(ask, server, file)
    wait_for((folder / "begun").exists)
    return answer


@pytest.mark.slow
def test_refuses_an_image_that_ended_the_worker_twice(tmp_path: Path):
    with decoding(tmp_path) as server, ThreadPoolExecutor(2) as clients:
        innocent, fatal, other = png(11), png(13), png(13, 21)
        beside = held(server, tmp_path, innocent, clients)
        assert ask(server, fatal) is None
        assert beside.result() is None
        wait_until_ready(server, 1)
        (tmp_path / "hold").unlink()
        assert ask(server, innocent).status == 200  # alone
        beside = held(server, tmp_path, innocent, clients)  # not a suspect any more
        assert ask(server, png(14)).status == 200
        (tmp_path / "hold").unlink()
        assert beside.result().status == 200
        assert ask(server, fatal) is None
        wait_until_ready(server, 2)
        refused = ask(server, fatal)
        assert (refused.status, refused.error) == (
            400,
            "this image ended the worker twice: it is refused while the server runs",
        )
        assert any(
            "an image ended the worker twice: it is refused from now on blake2b=" in line for line in server.lines
        )
        assert ask(server, other) is None  # another file
        wait_until_ready(server, 3)
        assert ask(server, innocent).status == 200
        server.unharmed()


@pytest.mark.slow
def test_fatal_images_do_not_end_the_server(tmp_path: Path):
    with decoding(tmp_path) as server:
        for crash in range(9):
            assert ask(server, png(13, 20 + crash)) is None
            wait_until_ready(server, crash + 1)
        assert server.infer(server.images[:3]).body == server.golden


@pytest.mark.slow
def test_restarts_a_worker_whose_decoder_hangs(tmp_path: Path):
    with decoding(tmp_path, "--stall-timeout-s", 8) as server, ThreadPoolExecutor(16) as clients:
        cores = len(os.sched_getaffinity(0))
        (tmp_path / "hold").touch()
        lost = [clients.submit(ask, server, png(11, 20 + number)) for number in range(cores + 1)]
        wait_for(lambda: server.get("/v2/health/ready").status == 503)
        reply = server.get("/v2/health/ready")
        assert reply.error == "not ready: all threads are busy with large requests"
        values = {sample.name: sample.value for sample in server.samples()}
        assert values["edgecnn_decoding_queue"] == 1
        assert values["edgecnn_decoding_longest_seconds"] > 5
        assert server.get("/v2/health/live").status == 200
        assert server.infer(server.images[:3]).body == server.golden  # pixels need no decoder
        assert [each.result() for each in lost] == [None] * len(lost)
        assert any("decoding hangs: an image exceeded the stall timeout" in line for line in server.lines)
        (tmp_path / "hold").unlink()
        wait_until_ready(server, 1)
        assert ask(server, png(11)).status == 200
