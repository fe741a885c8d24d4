"""Security that only gRPC needs: metadata and names that are not UTF-8, and the cost of the import."""

import subprocess
import sys
from pathlib import Path

import pytest
from grpc_asking import SERVICE, asking
from grpc_frames import call, exchange
from server_process import Server, serving

from edgecnn.host.child import child_environment

KEY = "0123456789abcdef-Key"


@pytest.mark.slow
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_does_not_log_binary_metadata(log_format: str):
    with serving("--log-format", log_format, "--grpc-port", 0) as server:
        before = len(server.lines)
        path = f"{SERVICE}ServerMetadata".encode()
        for name in (b"x-anything", b"x-request-id", b"user-agent", b"authorization"):
            assert b"edgecnn" in exchange(server.grpc_address, call(path, {name: b"Bearer " + KEY.encode() + b"\xff"}))
        exchange(server.grpc_address, call(path, {b"x-\xff": b"y"}))
        exchange(server.grpc_address, call(b"/" + KEY.encode() + b"\xff"))
        assert server.lines[before:] == []
        server.unharmed()
        with asking(server) as asker:
            assert asker.ask("ServerLive")[0] == b"\x08\x01"


IMPORTS = {"ours": "import edgecnn.server.grpc.server", "theirs": "import tritonclient.grpc"}


@pytest.mark.parametrize("order", [("ours", "theirs"), ("theirs", "ours")], ids="-then-".join)
def test_imports_together_with_tritonclient(order: tuple[str, str]):
    code = "\n".join(IMPORTS[name] for name in order)
    subprocess.run([sys.executable, "-W", "error", "-c", code], env=child_environment(), check=True)


def test_only_the_worker_imports_grpc(server: Server):
    code = "import sys, edgecnn.cli.serve, edgecnn.server.worker, edgecnn.server.supervisor.supervisor\n"
    code += "assert not {'grpc', 'google.protobuf'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], env=child_environment(), check=True)
    assert "cygrpc" not in Path(f"/proc/{server.process.pid}/maps").read_text()
    (worker,) = server.worker_pids()
    assert "cygrpc" in Path(f"/proc/{worker}/maps").read_text()
