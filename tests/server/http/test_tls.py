"""Tests of TLS: faulty certificates, incomplete handshakes, and requests."""

import socket
import ssl
import time
from pathlib import Path

import pytest
from http_site import GET, LOOPS, get, is_closed, post, read_answer, serving, until
from signing_keys import openssl

from edgecnn.errors import UsageError
from edgecnn.server.http.limits import Limits
from edgecnn.server.tls import server_context


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls")
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    openssl(path, "req", "-x509", *ec, "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost")
    openssl(path, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", "other.pem")
    openssl(path, "pkey", "-in", "key.pem", "-aes256", "-passout", "pass:secret", "-out", "encrypted.pem")
    (path / "text.pem").write_text("hello")
    return path


@pytest.mark.parametrize(
    ("cert", "key", "says"),
    [
        ("none.pem", "key.pem", "expected the certificate in PEM at .*none.pem, found: No such file"),
        ("cert.pem", "none.pem", "expected the private key in PEM at .*none.pem"),
        ("cert.pem", "other.pem", "other.pem does not match the certificate .*cert.pem"),
        ("cert.pem", "encrypted.pem", "encrypted.pem is encrypted"),
        ("text.pem", "key.pem", "in PEM, found"),
        ("cert.pem", "text.pem", "in PEM, found"),
    ],
)
def test_reports_a_faulty_certificate(folder: Path, cert: str, key: str, says: str):
    with pytest.raises(UsageError, match=says) as caught:
        server_context(folder / cert, folder / key)
    assert "\n" not in str(caught.value)


def trusting(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    context.check_hostname = False
    return context


@pytest.mark.parametrize("kind", LOOPS)
def test_serves_over_tls(folder: Path, kind: str):
    context = server_context(folder / "cert.pem", folder / "key.pem")
    with serving(kind, ssl_context=context) as site, site.client() as plain:
        with trusting(folder).wrap_socket(plain) as sock:
            for request, body in (
                (GET, b"/x"),
                (post("/echo", b"b" * 3_000_000), b"b" * 3_000_000),
                (get("/big"), site.desk.big),
            ):
                sock.sendall(request)
                assert read_answer(sock).body == body
            assert all(connection._secure for connection in site.listener._connections)
            sock.sendall(post("/forbidden", b"x" * 1_000_000))
            assert read_answer(sock).status == 404
        assert until(lambda: site.listener.open_connections == 0)


@pytest.mark.parametrize("kind", LOOPS)
def test_detects_a_disconnect_over_tls(folder: Path, kind: str):
    context = server_context(folder / "cert.pem", folder / "key.pem")
    with serving(kind, ssl_context=context) as site:
        with site.client() as plain, trusting(folder).wrap_socket(plain) as sock:
            sock.sendall(get("/held"))
            assert until(lambda: site.listener.busy)
        assert until(lambda: site.desk.gone == ["/held"])


@pytest.mark.parametrize("kind", LOOPS)
def test_disconnects_clients_without_tls(folder: Path, kind: str):
    context = server_context(folder / "cert.pem", folder / "key.pem")
    with serving(kind, Limits(header_timeout_s=0.5, idle_timeout_s=0.5), ssl_context=context) as site:
        with site.client() as plain:
            plain.sendall(GET)
            while plain.recv(100):
                pass
        with site.client() as silent:
            start = time.monotonic()
            assert is_closed(silent)
            assert time.monotonic() - start > 0.4
        old = trusting(folder)
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with site.client() as plain, pytest.raises(ssl.SSLError):
            old.wrap_socket(plain)
        with site.client() as plain, trusting(folder).wrap_socket(plain) as sock:
            sock.sendall(GET)
            assert read_answer(sock).status == 200
            assert is_closed(sock)
        assert until(lambda: site.listener.open_connections == 0)


def test_stop_ends_handshakes(folder: Path):
    context = server_context(folder / "cert.pem", folder / "key.pem")
    with serving(ssl_context=context) as site, socket.create_connection(("127.0.0.1", site.port)):
        assert until(lambda: site.listener.open_connections == 1)
        assert site.stop(1.0)
        assert site.listener.open_connections == 0
