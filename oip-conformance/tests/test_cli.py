"""The command: its text, its JSON, its errors and its exit codes."""

import json
import socket
import ssl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from lying_server import Proxied, lying, saying
from reference_server import serving

from oip_conformance import __version__
from oip_conformance.cases import TOPICS
from oip_conformance.cli import main

KEY = "0123456789abcdef-key"


@dataclass(frozen=True)
class Result:
    """The output and the exit code of the command."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The line on stderr that says why the command failed."""
        (line,) = self.err.splitlines()
        assert line.startswith("Error: "), self.err
        return line


def command(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Result(result.exit_code, result.stdout, result.stderr)


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def test_runs_as_module():
    done = subprocess.run(
        [sys.executable, "-m", "oip_conformance", "--version"], check=True, capture_output=True, text=True
    )
    assert done.stdout == f"oip-conformance, version {__version__}\n"


def test_exits_0_if_the_server_conforms(port: int):
    result = command(url(port), "--strict")
    assert (result.code, result.err) == (0, "")
    for word in ("server", "reference 1.0", "digits", "Binary tensors", "pass  infer ", "required", "extension"):
        assert word in result.out
    assert "FAIL  " not in result.out.replace("pass  FAIL  n.a.", "")


def test_writes_every_case_as_json(port: int):
    result = command(url(port), "--json", "--model", "digits")
    report = json.loads(result.out)
    assert [each["id"] for each in report["results"]] == [case.id for topic in TOPICS for case in topic.cases]
    keys = {"id", "topic", "title", "source", "level", "outcome", "expected", "found"}
    assert all(each.keys() == keys for each in report["results"])


def test_exits_3_if_a_case_fails(port: int):
    def lie(proxied: Proxied) -> None:
        proxied.status = 200 if proxied.status == 404 else proxied.status

    with lying(port, lie) as proxy:
        result = command(url(proxy))
    assert result.code == 3
    assert "does not conform" in result.error
    assert "unknown-model-metadata" in result.error
    assert "FAIL  unknown-model-metadata" in result.out
    assert "found status 200" in result.out


def test_strict_counts_expected_cases(port: int):
    def lie(proxied: Proxied) -> None:
        proxied.headers.pop("allow", None)

    with lying(port, lie) as proxy:
        relaxed, strict = command(url(proxy)), command(url(proxy), "--strict")
    assert "FAIL  infer-get" in relaxed.out
    assert (relaxed.code, strict.code) == (0, 3)


def test_list_needs_no_server():
    result = command("--list")
    assert result.code == 0
    for topic in TOPICS:
        assert topic.title in result.out
        for case in topic.cases:
            assert f"{case.id} ({case.level}): {case.title}" in result.out
            assert case.source in result.out
    listed = json.loads(command("--list", "--json").out)
    assert [each["topic"] for each in listed] == [topic.title for topic in TOPICS]


def test_rejects_list_with_url():
    result = command(url(1), "--list")
    assert result.code == 2
    assert "--list sends no request" in result.error


def test_reports_closed_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = command(url(port))
    assert result.code == 1
    assert f"no server answers at 127.0.0.1:{port}" in result.error
    assert "check that the server is running" in result.error


def test_reports_server_without_http():
    with saying(b"SSH-2.0-x\r\n") as port:
        result = command(url(port))
    assert result.code == 1
    assert "bytes that are not HTTP" in result.error


def test_replaces_control_characters(port: int):
    with saying(b"\x1b]0;mine\x07\x9b31m\r\n\r\n") as other:
        result = command(url(other))
    assert result.code == 1
    assert result.err.rstrip("\n").isprintable()

    def lie(proxied: Proxied) -> None:
        if b"\x1b" not in proxied.body and proxied.status != 200:
            proxied.headers["allow"] = proxied.headers["x-other"] = "\x9b31m"

    with lying(port, lie) as proxy:
        result = command(url(proxy))
    assert (result.out + result.err).replace("\n", "").isprintable()


def test_hints_at_the_other_scheme(port: int):
    result = command(f"https://127.0.0.1:{port}")
    assert result.code == 1
    assert "if the server uses plain HTTP, change the URL to http://" in result.error
    with saying(b"") as other:
        result = command(url(other))
    assert result.code == 1
    assert "if the server uses TLS, change the URL to https://" in result.error


def test_rejects_ca_for_http(port: int, tmp_path: Path):
    result = command(url(port), "--ca", tmp_path / "ca.pem")
    assert result.code == 2
    assert "--ca is for https" in result.error


@pytest.mark.parametrize(
    "bad",
    [
        "localhost:8080",
        "ftp://host",
        "http://",
        "http://h:99999",
        "http://u@h",
        "http://h/?q",
        "http://h\u00fc",
        "http://h/v2",
    ],
)
def test_rejects_invalid_url(bad: str):
    result = command(bad)
    assert result.code == 2
    assert "expected http" in result.error


def test_rejects_missing_url():
    result = command()
    assert result.code == 2
    assert "expected the URL of a server" in result.error


def test_names_unknown_model(port: int):
    result = command(url(port), "--model", "nope")
    assert result.code == 1
    assert "'nope'" in result.error


def test_reports_failed_valid_request(port: int):
    def lie(proxied: Proxied) -> None:
        if proxied.path.endswith("/infer"):
            proxied.status, proxied.body = 500, b'{"error": "out of order"}'

    with lying(port, lie) as proxy:
        result = command(url(proxy))
    assert result.code == 1
    assert "does not answer a valid request" in result.error
    assert "out of order" in result.error


def test_requires_model_among_several(port: int):
    def lie(proxied: Proxied) -> None:
        if proxied.path.endswith("/index"):
            proxied.body = b'[{"name": "a", "state": "READY"}, {"name": "b", "state": "READY"}]'

    with lying(port, lie) as proxy:
        result = command(url(proxy))
    assert result.code == 2
    assert "2 are ready: a, b: name one with --model" in result.error


def test_uses_api_key_and_certificate(tmp_path: Path):
    openssl = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl += ["-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=edge", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(openssl, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "key.txt").write_text(KEY + "\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    key = ("--api-key-file", tmp_path / "key.txt")
    with serving(api_key=KEY, context=context) as port:
        address = f"https://127.0.0.1:{port}"
        with_both = command(address, *key, "--ca", tmp_path / "cert.pem", "--strict")
        without_key = command(address, "--ca", tmp_path / "cert.pem")
        without_ca = command(address, *key)
        (tmp_path / "other.txt").write_text("another-key-of-20ch\n")
        other = ("--api-key-file", tmp_path / "other.txt")
        with_other = command(address, *other, "--ca", tmp_path / "cert.pem")
    assert (with_both.code, with_both.err) == (0, "")
    assert without_key.code == 1
    assert "give the API key with --api-key-file" in without_key.error
    assert "check the key in --api-key-file" in with_other.error
    assert without_ca.code == 1
    assert "certificate" in without_ca.error


@pytest.mark.parametrize("content", [b"", b"two words\n", b"\xff\n"])
def test_rejects_invalid_key_file(tmp_path: Path, content: bytes):
    (tmp_path / "key.txt").write_bytes(content)
    result = command(url(9), "--api-key-file", tmp_path / "key.txt")
    assert result.code == 2
    assert "one line of printable ASCII" in result.error
