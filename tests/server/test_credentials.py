"""Certificates and keys that are read again."""

import logging
import os
import shutil
import signal
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from certificates import end_date, make_pair
from server_process import Server, serving, wait_for

from edgecnn.errors import UsageError
from edgecnn.server import credentials
from edgecnn.server.credentials import Credentials
from edgecnn.server.tls import expires_at

KEYS = ("first-key-1234567", "second-key-123456")
DAY_S = 86400


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return two folders, each with a certificate and its private key."""
    folder = tmp_path_factory.mktemp("pairs")
    make_pair(folder / "first")
    make_pair(folder / "second", days=20_000)
    return folder / "first", folder / "second"


class Watched:
    """Credentials that a thread watches."""

    def __init__(self, folder: Path) -> None:
        self.cert, self.key, self.api_key = (folder / name for name in ("cert.pem", "key.pem", "api-key"))
        self.credentials = Credentials((self.cert, self.key), self.api_key)
        self.changes = 0
        self.answered = threading.Event()
        threading.Thread(target=self.credentials.watch, args=(self._count, self.answered.set), daemon=True).start()

    def _count(self) -> None:
        self.changes += 1

    def reload(self) -> None:
        self.answered.clear()
        self.credentials.ask()
        assert self.answered.wait(10)


@pytest.fixture
def watched(pairs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    monkeypatch.setattr(credentials, "_POLL_S", 0.05)
    folder = Path(shutil.copytree(pairs[0], tmp_path / "current"))
    (folder / "api-key").write_text(KEYS[0])
    return Watched(folder)


def test_takes_changed_files(watched: Watched, pairs: tuple[Path, Path]):
    found = watched.credentials
    assert found.tls is not None
    first = found.tls
    assert (first.version, first.chain, found.api_key) == (1, watched.cert.read_bytes(), KEYS[0].encode())
    shutil.copy(pairs[1] / "key.pem", watched.key)
    shutil.copy(pairs[1] / "cert.pem", watched.cert)
    wait_for(lambda: found.tls.version > 1 and found.tls.chain == (pairs[1] / "cert.pem").read_bytes())
    assert found.tls.key == (pairs[1] / "key.pem").read_bytes()
    assert found.tls.context is not first.context
    assert found.expires_at() == end_date(watched.cert)
    assert found.api_key == KEYS[0].encode()
    watched.api_key.write_text(KEYS[1] + "\n")
    wait_for(lambda: found.api_key == KEYS[1].encode())
    wait_for(lambda: watched.changes == found.reloads)


def test_takes_a_swapped_link(pairs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(credentials, "_POLL_S", 0.05)
    (tmp_path / "..data").symlink_to(pairs[0])  # as Kubernetes mounts a secret
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).symlink_to(Path("..data", name))
    (tmp_path / "api-key").write_text(KEYS[0])
    watched = Watched(tmp_path)
    (tmp_path / "..new").symlink_to(pairs[1])
    (tmp_path / "..new").replace(tmp_path / "..data")
    wait_for(lambda: watched.credentials.reloads == 1)
    assert watched.credentials.expires_at() == end_date(pairs[1] / "cert.pem")
    assert watched.credentials.failures == 0


def other_key(watched: Watched, other: Path) -> None:
    shutil.copy(other / "key.pem", watched.key)


def half_a_certificate(watched: Watched, other: Path) -> None:
    watched.cert.write_bytes((other / "cert.pem").read_bytes()[:300])


def half_a_chain(watched: Watched, other: Path) -> None:
    watched.cert.write_bytes(watched.cert.read_bytes() + (other / "cert.pem").read_bytes()[:300])


def no_certificate(watched: Watched, _: Path) -> None:
    watched.cert.unlink()


def a_folder(watched: Watched, _: Path) -> None:
    watched.key.unlink()
    watched.key.mkdir()


def empty_key(watched: Watched, _: Path) -> None:
    watched.api_key.write_text("")


def no_api_key(watched: Watched, _: Path) -> None:
    watched.api_key.unlink()


@pytest.mark.parametrize(
    "damage", [other_key, half_a_certificate, half_a_chain, no_certificate, a_folder, empty_key, no_api_key]
)
def test_keeps_the_previous_content(
    watched: Watched,
    pairs: tuple[Path, Path],
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Watched, Path], None],
):
    found = watched.credentials
    assert found.tls is not None
    chain = found.tls.chain
    damage(watched, pairs[1])
    wait_for(lambda: found.failures == 1)
    time.sleep(0.3)  # six more reads
    watched.reload()
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.getMessage().endswith("; the previous content stays in use")
    assert KEYS[0] not in caplog.text
    assert (found.tls.chain, found.api_key, found.failures, found.reloads) == (chain, KEYS[0].encode(), 1, 0)


def test_takes_files_at_once_when_asked(watched: Watched, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(credentials, "_POLL_S", 600.0)
    watched.reload()  # ends the wait that has begun
    watched.api_key.write_text(KEYS[1])
    watched.reload()
    assert watched.credentials.api_key == KEYS[1].encode()


@pytest.mark.parametrize(
    ("left_days", "warning"), [(20, None), (13, "expires in 13.0 days"), (-1, "has expired: clients refuse it")]
)
def test_warns_once_a_day(
    pairs: tuple[Path, Path],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    left_days: int,
    warning: str | None,
):
    found = Credentials((pairs[0] / "cert.pem", pairs[0] / "key.pem"), None)
    now = found.expires_at() - left_days * DAY_S
    monkeypatch.setattr(credentials, "time", SimpleNamespace(time=lambda: now, monotonic=lambda: now))
    for pause_s in (1, DAY_S, 1):
        found._warn_of_expiry()
        now += pause_s
    assert [record.getMessage() for record in caplog.records[:1]] == (
        [f"the TLS certificate {warning}"] if warning else []
    )
    assert len(caplog.records) == (2 if warning else 0)


def test_reads_the_end_of_the_first_certificate(pairs: tuple[Path, Path], tmp_path: Path):
    first, second = (pair / "cert.pem" for pair in pairs)
    for cert in (first, second):  # UTCTime and GeneralizedTime
        assert expires_at(cert.read_bytes()) == end_date(cert)
    chain = b"Subject: CN = localhost\r\n" + second.read_bytes().replace(b"\n", b"\r\n") + first.read_bytes()
    assert expires_at(chain) == end_date(second)
    key = (pairs[0] / "key.pem").read_bytes()
    assert expires_at(key + first.read_bytes()) == end_date(first)


@pytest.mark.parametrize("length", range(0, 80, 7))
def test_reports_a_malformed_certificate(pairs: tuple[Path, Path], length: int):
    der = ssl.PEM_cert_to_DER_cert((pairs[0] / "cert.pem").read_text())
    with pytest.raises(ValueError):  # noqa: PT011  # any message
        expires_at(ssl.DER_cert_to_PEM_cert(der[:length]).encode())


def test_reports_files_at_the_start(tmp_path: Path):
    (tmp_path / "api-key").write_text("short")
    with pytest.raises(UsageError, match="must contain one line of at least 16"):
        Credentials(None, tmp_path / "api-key")


@pytest.mark.slow
def test_a_server_takes_changed_files(pairs: tuple[Path, Path], tmp_path: Path):
    folder = Path(shutil.copytree(pairs[0], tmp_path / "current"))
    (folder / "api-key").write_text(KEYS[0])
    context = ssl.create_default_context(cafile=str(pairs[0] / "cert.pem"))
    context.load_verify_locations(pairs[1] / "cert.pem")
    bearers = [{"Authorization": f"Bearer {key}"} for key in KEYS]
    options = ("--tls-cert", folder / "cert.pem", "--tls-key", folder / "key.pem", "--api-key-file", folder / "api-key")
    with serving(*options, headers=bearers[0], context=context) as server, opened(server, context) as kept:
        first = kept.getpeercert(binary_form=True)
        shutil.copy(pairs[1] / "key.pem", folder)
        wait_for(lambda: any("does not match the certificate" in line for line in server.lines))
        assert server.get("/v2/health/ready").status == 200
        shutil.copy(pairs[1] / "cert.pem", folder)
        wait_for(lambda: certificate(server, context) != first)
        assert server.infer(server.images[:1]).status == 200
        (folder / "api-key").write_text(KEYS[1])
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: server.get("/v2").status == 401)
        server.headers = bearers[1]
        found = {sample.name: sample.value for sample in server.samples()}
        assert found["edgecnn_certificate_expiry_timestamp_seconds"] == end_date(pairs[1] / "cert.pem")
        assert found["edgecnn_credentials_reloads_total"] == 2
        assert found["edgecnn_credentials_reload_failures_total"] == 1
        kept.sendall(f"GET /v2 HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEYS[1]}\r\n\r\n".encode())
        assert kept.recv(15) == b"HTTP/1.1 200 OK"
        (worker,) = server.worker_pids()
        for file in folder.iterdir():
            file.write_text("")
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: any("the worker is ready again" in line for line in server.lines))
        assert server.infer(server.images[:1]).status == 200
        assert certificate(server, context) == ssl.PEM_cert_to_DER_cert((pairs[1] / "cert.pem").read_text())
        assert server.stop() == 0
    assert not [line for line in server.lines if any(key in line for key in KEYS)]


def opened(server: Server, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(server.connect(), server_hostname="localhost")


def certificate(server: Server, context: ssl.SSLContext) -> bytes | None:
    with opened(server, context) as sock:
        return sock.getpeercert(binary_form=True)
