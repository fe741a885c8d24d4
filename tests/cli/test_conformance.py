"""`edgecnn conformance`: a table, JSON, and exit codes."""

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lying_server import Told, lying, saying
from server_process import Server, serving

from edgecnn.conformance.cases import TOPICS

KEY = "0123456789abcdef-key"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def test_our_server_conforms_and_each_case_is_a_line(edgecnn: Callable, server: Server):
    result = edgecnn("conformance", url(server.port), "--strict")
    assert (result.code, result.err) == (0, "")
    for word in ("server", "edgecnn ", "lenet-digits-int8", "Binary tensors", "pass  infer ", "required", "extension"):
        assert word in result.out
    assert "FAIL  " not in result.out.replace("pass  FAIL  n.a.", "")


def test_json_has_every_case_with_its_source(edgecnn: Callable, server: Server):
    result = edgecnn("conformance", url(server.port), "--json", "--model", "lenet-digits-int8")
    report = json.loads(result.out)
    assert [each["id"] for each in report["results"]] == [case.id for topic in TOPICS for case in topic.cases]
    keys = {"id", "topic", "title", "source", "level", "outcome", "expected", "found"}
    assert all(each.keys() == keys for each in report["results"])


def test_a_server_that_does_not_conform_is_exit_3_and_shows_what_was_found(edgecnn: Callable, server: Server):
    def lie(told: Told) -> None:
        told.status = 200 if told.status == 404 else told.status

    with lying(server.port, lie) as port:
        result = edgecnn("conformance", url(port))
    assert result.code == 3
    assert "does not conform" in result.error
    assert "unknown-model-metadata" in result.error
    assert "FAIL  unknown-model-metadata" in result.out
    assert "found status 200" in result.out


def test_what_is_only_expected_fails_with_strict_only(edgecnn: Callable, server: Server):
    def lie(told: Told) -> None:
        told.headers.pop("allow", None)

    with lying(server.port, lie) as port:
        relaxed, strict = edgecnn("conformance", url(port)), edgecnn("conformance", url(port), "--strict")
    assert "FAIL  infer-get" in relaxed.out
    assert (relaxed.code, strict.code) == (0, 3)


def test_the_list_needs_no_server(edgecnn: Callable):
    result = edgecnn("conformance", "--list")
    assert result.code == 0
    for topic in TOPICS:
        assert topic.title in result.out
        for case in topic.cases:
            assert f"{case.id} ({case.level}): {case.title}" in result.out
            assert case.source in result.out
    listed = json.loads(edgecnn("conformance", "--list", "--json").out)
    assert [each["topic"] for each in listed] == [topic.title for topic in TOPICS]


def test_the_list_and_a_url_do_not_go_together(edgecnn: Callable):
    result = edgecnn("conformance", url(1), "--list")
    assert result.code == 2
    assert "--list asks no server" in result.error


def test_where_nobody_answers_it_says_so(edgecnn: Callable):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = edgecnn("conformance", url(port))
    assert result.code == 1
    assert f"no server answers at 127.0.0.1:{port}" in result.error
    assert "is it running there?" in result.error


def test_what_is_no_http_is_no_server(edgecnn: Callable):
    with saying(b"SSH-2.0-x\r\n") as port:
        result = edgecnn("conformance", url(port))
    assert result.code == 1
    assert "what is no HTTP" in result.error


def test_control_characters_of_a_server_do_not_reach_the_terminal(edgecnn: Callable, server: Server):
    with saying(b"\x1b]0;mine\x07\x9b31m\r\n\r\n") as port:
        result = edgecnn("conformance", url(port))
    assert result.code == 1
    assert result.err.rstrip("\n").isprintable()

    def lie(told: Told) -> None:
        if b"\x1b" not in told.body and told.status != 200:
            told.headers["allow"] = told.headers["x-bundle-digest"] = "\x9b31m"

    with lying(server.port, lie) as port:
        result = edgecnn("conformance", url(port))
    assert (result.out + result.err).replace("\n", "").isprintable()


def test_http_and_https_mixed_up_are_hinted_at(edgecnn: Callable, server: Server):
    result = edgecnn("conformance", f"https://127.0.0.1:{server.port}")
    assert result.code == 1
    assert "does its URL begin with http://?" in result.error
    with saying(b"") as port:
        result = edgecnn("conformance", url(port))
    assert result.code == 1
    assert "if it speaks TLS, its URL begins with https://" in result.error


def test_authorities_for_http_are_a_usage_error(edgecnn: Callable, server: Server, tmp_path: Path):
    result = edgecnn("conformance", url(server.port), "--ca", tmp_path / "ca.pem")
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
def test_a_url_that_is_none_is_a_usage_error(edgecnn: Callable, bad: str):
    result = edgecnn("conformance", bad)
    assert result.code == 2
    assert "expected http" in result.error


def test_no_url_is_a_usage_error(edgecnn: Callable):
    result = edgecnn("conformance")
    assert result.code == 2
    assert "expected the URL of a server" in result.error


def test_an_unknown_model_is_named(edgecnn: Callable, server: Server):
    result = edgecnn("conformance", url(server.port), "--model", "nope")
    assert result.code == 1
    assert "'nope'" in result.error


def test_a_model_whose_good_request_fails_cannot_be_judged(edgecnn: Callable, server: Server):
    def lie(told: Told) -> None:
        if told.path.endswith("/infer"):
            told.status, told.body = 500, b'{"error": "out of order"}'

    with lying(server.port, lie) as port:
        result = edgecnn("conformance", url(port))
    assert result.code == 1
    assert "does not answer a good request" in result.error
    assert "out of order" in result.error


def test_of_several_models_one_must_be_named(edgecnn: Callable, server: Server):
    def lie(told: Told) -> None:
        if told.path.endswith("/index"):
            told.body = b'[{"name": "a", "state": "READY"}, {"name": "b", "state": "READY"}]'

    with lying(server.port, lie) as port:
        result = edgecnn("conformance", url(port))
    assert result.code == 2
    assert "2 are ready: a, b: name one with --model" in result.error


def test_a_key_and_a_certificate_are_used(edgecnn: Callable, tmp_path: Path):
    import ssl

    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=edge", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "key.txt").write_text(KEY + "\n")
    context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    options = ("--tls-cert", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem")
    headers = {"Authorization": f"Bearer {KEY}"}
    key = ("--api-key-file", tmp_path / "key.txt")
    with serving(*options, *key, headers=headers, context=context) as running:
        address = f"https://127.0.0.1:{running.port}"
        with_both = edgecnn("conformance", address, *key, "--ca", tmp_path / "cert.pem", "--strict")
        without_key = edgecnn("conformance", address, "--ca", tmp_path / "cert.pem")
        without_ca = edgecnn("conformance", address, *key)
        (tmp_path / "other.txt").write_text("another-key-of-20ch\n")
        other = ("--api-key-file", tmp_path / "other.txt")
        with_other = edgecnn("conformance", address, *other, "--ca", tmp_path / "cert.pem")
    assert (with_both.code, with_both.err) == (0, "")
    assert without_key.code == 1
    assert "give the server's key with --api-key-file" in without_key.error
    assert "check the key in --api-key-file" in with_other.error
    assert without_ca.code == 1
    assert "certificate" in without_ca.error


@pytest.mark.parametrize("content", [b"", b"two words\n", b"\xff\n"])
def test_a_key_file_that_holds_none_is_a_usage_error(edgecnn: Callable, tmp_path: Path, content: bytes):
    (tmp_path / "key.txt").write_bytes(content)
    result = edgecnn("conformance", url(9), "--api-key-file", tmp_path / "key.txt")
    assert result.code == 2
    assert "one line of printable ASCII" in result.error
