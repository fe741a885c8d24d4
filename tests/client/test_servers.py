"""Real servers: one of two dies under load, one requires a key and has a self-signed certificate."""

import json
import os
import shutil
import signal
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from client_load import Load, kill, url
from held_engine import holding
from PIL import Image
from repository import COMMITTED
from server_process import Server, serving, start, wait_for

from edgecnn import Client, Retries
from edgecnn.errors import ImageTooLarge, ServerError, ServerUnavailable

QUICK = Retries(first_rest_s=0.01, longest_rest_s=0.2)


@pytest.mark.slow
def test_survives_killed_servers_under_load():
    with serving() as first, serving() as second, Client([url(first), url(second)]) as client, Load(client) as load:
        load.more()
        assert first.metrics()["received"] > 10
        assert second.metrics()["received"] > 10
        kill(first)
        load.more()
        process, lines = start("--port", first.port)
        try:
            wait_for(lambda: any("edgecnn serves" in line for line in lines))
            kill(second)  # only the restarted server answers now
            load.more()
            load.end()
        finally:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_survives_a_killed_worker():
    with serving() as server, Client(url(server)) as client, Load(client) as load:
        load.more()
        (worker,) = server.worker_pids()
        os.kill(worker, signal.SIGKILL)
        load.more()


@pytest.mark.slow
def test_survives_a_server_that_stops():
    with serving() as first, serving() as second, Client([url(first), url(second)]) as client, Load(client) as load:
        load.more()
        assert first.stop() == 0
        load.more()


@pytest.mark.slow
def test_repeats_when_the_queue_is_full(tmp_path: Path):
    with holding(tmp_path, "--max-batch", 1, "--max-queue", 1) as held, Client(url(held.server)) as client:
        client.logits(held.server.images[:1])
        with held.engine.held(), ThreadPoolExecutor(1) as pool:
            waiting = held.occupy()
            refused = held.server.samples
            asked = pool.submit(client.logits, held.server.images[:1])
            wait_for(lambda: any(s.labels.get("reason") == "busy" and s.value for s in refused()))
            held.engine.clear("hold")
            assert asked.result(60).shape == (1, 10)
        assert waiting.result(60).status == 200


def test_reports_that_no_server_is_left():
    with serving() as server, Client(url(server), retries=Retries(attempts=3, first_rest_s=0.01)) as client:
        image = server.images[0]
        client.predict(image)
        kill(server)
        with pytest.raises(ServerUnavailable, match=f"gave up after .*: {url(server)}: Connection refused"):
            client.predict(image)
        assert not client.is_ready()


@pytest.mark.slow
def test_splits_bodies_that_are_too_large(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    with serving("--max-body-mb", 1) as server, Client(url(server), retries=QUICK) as client:
        small = [Image.fromarray(noise[:400, :400])] * 5  # half a megabyte each
        assert len(client.predict(small)) == 5
        with pytest.raises(ImageTooLarge, match=r"large\.png"):
            client.predict(tmp_path / "large.png")
        server.unharmed()


@pytest.mark.slow
def test_labels_follow_each_server(bundle_copy: Path):
    manifest = json.loads((bundle_copy / "manifest.json").read_text())
    manifest["labels"] = [f"number {label}" for label in manifest["labels"]]
    (bundle_copy / "manifest.json").write_text(json.dumps(manifest))
    with serving() as first, serving(bundles=(bundle_copy,)) as second:
        with Client([url(first), url(second)]) as client:
            image = first.images[3]
            found = {each.url: each.prediction for _ in range(6) for each in client.answers([image])}
        plain, worded = found[url(first)], found[url(second)]
        assert not isinstance(plain, Exception)
        assert not isinstance(worded, Exception)
        assert worded.label == f"number {plain.label}"


@pytest.mark.slow
def test_labels_follow_a_new_version(bundle_copy: Path, tmp_path: Path):
    versions = tmp_path / "served" / "digits"
    shutil.copytree(COMMITTED, versions / "1")
    manifest = json.loads((bundle_copy / "manifest.json").read_text())
    manifest["labels"] = [f"number {label}" for label in manifest["labels"]]
    (bundle_copy / "manifest.json").write_text(json.dumps(manifest))
    options = ("--watch-s", 0.2)
    with serving(*options, bundles=(COMMITTED, versions)) as server, Client(url(server), model="digits") as client:
        image = server.images[0]
        before = client.predict(image).label
        shutil.copytree(bundle_copy, versions / ".2")
        (versions / ".2").rename(versions / "2")
        seen: set[str] = set()
        wait_for(lambda: seen.add(client.predict(image).label) or f"number {before}" in seen)
        assert seen <= {before, f"number {before}"}


# Keys and certificates

KEY = "0123456789abcdef-Key"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A server with a self-signed certificate and an API key, and the path of the certificate."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "key").write_text(KEY)
    context = ssl.create_default_context(cafile=folder / "cert.pem")
    options = ("--tls-cert", folder / "cert.pem", "--tls-key", folder / "key.pem", "--api-key-file", folder / "key")
    with serving(*options, headers={"Authorization": f"Bearer {KEY}"}, context=context) as server:
        yield server, folder / "cert.pem"


def test_works_with_key_and_authority(secured: tuple[Server, Path]):
    server, ca = secured
    with Client(url(server, scheme="https"), api_key=KEY, ca=ca) as client:
        assert np.array_equal(client.logits(server.images), server.logits(server.images))
        assert client.predict(list(server.images))[0].label == client.predict(server.images[0]).label


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (None, "expected an API key, found none: .*; pass its API key: api_key, or --api-key-file"),
        ("wrong", "the API key is wrong; pass its API key: api_key, or --api-key-file"),
    ],
)
def test_reports_a_missing_or_wrong_key(secured: tuple[Server, Path], key: str | None, expected: str):
    server, ca = secured
    with Client(url(server, scheme="https"), api_key=key, ca=ca) as client:
        with pytest.raises(ServerError, match=expected):
            client.predict(server.images[0])
        assert client.is_ready()


def test_does_not_repeat_after_a_bad_certificate(secured: tuple[Server, Path]):
    server, _ = secured
    patient = Retries(first_rest_s=30, longest_rest_s=30)
    refused = pytest.raises(ServerUnavailable, match=r"certificate is not trusted: self-signed certificate.*--ca")
    with Client(url(server, scheme="https"), retries=patient, timeout_s=120) as client, refused:
        client.predict(server.images[0])


def test_skips_a_server_with_a_bad_certificate(secured: tuple[Server, Path]):
    server, _ = secured
    with serving() as plain, Client([url(server, scheme="https"), url(plain)], retries=QUICK) as client:
        for _ in range(5):
            assert client.logits(plain.images).shape == (len(plain.images), 10)


def test_reports_http_to_an_https_server(secured: tuple[Server, Path]):
    server, _ = secured
    refused = pytest.raises(ServerUnavailable, match="closed the connection without a response; if it uses TLS")
    with Client(url(server), retries=Retries(attempts=2, first_rest_s=0.01)) as client, refused as caught:
        client.predict(server.images[0])
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_reports_https_to_an_http_server():
    patient = Retries(first_rest_s=30, longest_rest_s=30)
    refused = pytest.raises(ServerUnavailable, match=r"after 1 attempt .*does not use TLS: use an http:// URL")
    with serving() as server, Client(url(server, scheme="https"), retries=patient) as client, refused:
        client.predict(server.images[0])
