"""Start the attacked server: of this checkout or of another one, with a memory limit, and with any kind of log."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.common.results import COMMITTED, REPOSITORY
from benchmarks.serving import requests
from benchmarks.serving.attack.confinement import LIMIT_BYTES, Group, confined
from benchmarks.serving.attack.floods import Flood
from benchmarks.serving.attack.inputs import CERTIFICATE, FOLDER, GREY_28, KEY
from benchmarks.serving.attack.target import API_KEY, Target
from benchmarks.serving.attack.watching import Watch
from benchmarks.serving.recipes import Recipe
from benchmarks.serving.server import Server, connection_to, free_ports
from edgecnn.bundle.store import Bundle, open_bundle

_NO_GROUP_OPTIONS = ("--memory-budget", str(LIMIT_BYTES // 2))
"""What the server itself chooses within the memory limit."""

_WARM_REQUESTS = 200
_LOG_FILES = {"full disk": Path("/dev/full")}


@dataclass(frozen=True)
class Attacked:
    """A running server.

    Attributes:
        server: the processes.
        target: for attackers and clients.
        watch: samples its processes.
        group: its control group; None without one.
        log: file of its log.
    """

    server: Server
    target: Target
    watch: Watch
    group: Group | None
    log: Path


@contextlib.contextmanager
def attacked(flood: Flood, checkout: Path, folder: Path) -> Iterator[Attacked]:
    """Start the server of a checkout for one flood, and stop it afterwards; `folder` is for its key, log and pipe."""
    bundle = open_bundle(COMMITTED)
    path = checkout.resolve() / COMMITTED.relative_to(REPOSITORY)
    (grpc_port,) = free_ports(1)
    command = [sys.executable, "-m", "edgecnn", "serve", str(path), "--port", "{port}", "--grpc-port", str(grpc_port)]
    command += ["--engine", "onnxruntime"]
    certificate = FOLDER / CERTIFICATE if flood.has_tls else None
    if certificate:
        command += ["--tls-cert", str(certificate), "--tls-key", str(FOLDER / KEY)]
    if flood.has_key:
        key_file = folder / "api-key.txt"
        key_file.write_text(API_KEY)
        command += ["--api-key-file", str(key_file)]
    if flood.log != "file":
        command += ["--access-log"]
    environment = {"PYTHONPATH": str(checkout.resolve())}
    log = folder / f"{flood.name}.log"
    with contextlib.ExitStack() as stack:
        group = stack.enter_context(confined())
        if group is None and _NO_GROUP_OPTIONS[0] in _help(environment):
            command += _NO_GROUP_OPTIONS
        whole, reader = tuple(command), None
        if flood.log != "file":
            file = _LOG_FILES.get(flood.log) or _pipe(folder / f"{flood.name}.pipe")
            whole = ("sh", "-c", 'exec "$@" 2> "$0"', str(file), *whole)
            if file not in _LOG_FILES.values():
                reader = stack.enter_context(file.open("r+b", buffering=0))
        whole = group.command(whole) if group else whole
        server = stack.enter_context(Server(Recipe(whole, "/v2/health/ready", environment, certificate), log))
        if reader and flood.log == "left pipe":
            reader.close()
        watch = stack.enter_context(Watch(server))
        target = Target(server.port, grpc_port, bundle.manifest.name, watch.worker_pid(), certificate, flood.has_key)
        yield Attacked(server, _with_answer(target, bundle), watch, group, log)


def _with_answer(target: Target, bundle: Bundle) -> Target:
    """Warm the server up, and return the target with a request and the body of its answer.

    Raises:
        RuntimeError: the server answers wrongly before the attack.
    """
    self_test = bundle.self_test()
    binary = requests.v2_binary(target.model, self_test.images[:1])
    picture = (FOLDER / GREY_28).read_bytes()
    key = {"X-API-Key": API_KEY} if target.has_key else {}
    kept = connection_to(target.port, target.certificate, timeout_s=30)

    def answer(method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[dict[str, str], bytes]:
        kept.request(method, path, body, headers | key)
        response = kept.getresponse()
        content = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path}: expected status 200 before the attack, found {response.status}: {content!r}")
        return {name.lower(): value for name, value in response.getheaders()}, content

    with contextlib.closing(kept):
        for path in ("/metrics", "/openapi.json"):
            answer("GET", path, None, {})
        answer("POST", target.infer_path, picture, {"Content-Type": "image/png"})
        for _ in range(_WARM_REQUESTS):
            headers, right_body = answer("POST", binary.path, binary.body, binary.headers)
    expected = self_test.engine_logits["onnxruntime"][0]
    if not np.allclose(binary.logits(headers, right_body), expected, rtol=0, atol=self_test.tolerance):
        raise RuntimeError("the server answers with wrong logits before the attack: run edgecnn verify")
    return replace(target, request=binary.wire(extra=target.key_header), right_body=right_body)


def _pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _help(environment: dict[str, str]) -> str:
    command = [sys.executable, "-m", "edgecnn", "serve", "--help"]
    return subprocess.run(
        command, env=os.environ | environment, cwd="/", check=True, capture_output=True, text=True
    ).stdout
