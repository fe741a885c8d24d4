"""Validation of the options of `serve`, before a socket is bound or a bundle loaded."""

import dataclasses
import os
from pathlib import Path

import pytest

from edgecnn.errors import MissingExtra, UsageError
from edgecnn.files.schema import dump, parse
from edgecnn.protocol.api_key import read_api_key
from edgecnn.server.models.catalogue import Handoff, Source
from edgecnn.server.options import ServeOptions
from edgecnn.server.supervisor.job import WorkerJob


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("port", -1),
        ("port", 65536),
        ("threads", 0),
        ("instances", 0),
        ("max_batch", 0),
        ("max_queue", 0),
        ("max_delay_us", -1),
        ("max_body_mb", 0),
        ("max_connections", 0),
        ("max_pixels", 0),
        ("header_timeout_s", 0.0),
        ("grace_s", -1.0),
        ("load_timeout_s", float("nan")),
        ("stall_timeout_s", float("inf")),
    ],
)
def test_rejects_a_number_out_of_range(field: str, value: float):
    option = "--" + field.replace("_", "-")
    with pytest.raises(UsageError, match=rf"^{option} must be in .*, found {value:g}$"):
        ServeOptions(**{field: value})


def test_every_option_has_a_help_text_and_a_default():
    for field in dataclasses.fields(ServeOptions):
        assert field.metadata["help"].endswith((".", "]")), field.name
    assert ServeOptions().host == "127.0.0.1"


def test_rejects_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("edgecnn.server.options.usable_cores", lambda: 4)
    ServeOptions(instances=2, threads=2).check_cores()
    ServeOptions().check_cores()
    with pytest.raises(UsageError, match="3 instances × 2 threads are 6, and this process may use 4"):
        ServeOptions(instances=3, threads=2).check_cores()


def test_rejects_a_memory_budget_above_the_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("edgecnn.server.options.memory_limit", lambda: 1 << 30)
    ServeOptions(memory_budget=1 << 30).check_memory()
    ServeOptions().check_memory()
    with pytest.raises(UsageError, match=r"--memory-budget must be at most the 1,024 MiB .* found 2,048 MiB"):
        ServeOptions(memory_budget=2 << 30).check_memory()


def test_rejects_budgets_and_pixels_below_the_minimum():
    with pytest.raises(UsageError, match=r"^--memory-budget must be at least 16M, found 0\.5M$"):
        ServeOptions(memory_budget=1 << 19)
    with pytest.raises(UsageError, match=r"--max-request-pixels must be in"):
        ServeOptions(max_request_pixels=0)


def test_requires_certificate_and_key_together():
    with pytest.raises(UsageError, match="--tls-cert and --tls-key must be given together"):
        ServeOptions(tls_cert=Path("cert.pem"))


def test_rejects_a_watch_interval_that_is_too_short():
    assert (ServeOptions(watch_s=0).watch_s, ServeOptions(watch_s=0.1).watch_s) == (0, 0.1)
    with pytest.raises(UsageError, match=r"--watch-s must be 0 or at least 0\.1, found 1e-09"):
        ServeOptions(watch_s=1e-9)


def test_rejects_a_higher_pixel_limit():
    with pytest.raises(UsageError, match="--max-pixels must be at most 64000000, found"):
        ServeOptions(max_pixels=64_000_001)


@pytest.mark.parametrize(
    ("text", "formats"),
    [
        ("jpeg,png,bmp", ("JPEG", "PNG", "BMP")),
        (" WebP , jpeg,", None),
        ("webp, JPEG", ("JPEG", "WebP")),
        ("gif,gif", ("GIF",)),
        ("jpg", None),
        ("", None),
    ],
)
def test_takes_the_formats_of_images(text: str, formats: tuple[str, ...] | None):
    if formats is not None:
        assert ServeOptions(formats=text).image_formats == formats
        return
    unknown = "jpg" if text == "jpg" else ""
    with pytest.raises(UsageError) as raised:
        ServeOptions(formats=text)
    assert str(raised.value) == (
        f"--formats must contain jpeg, png, bmp, webp, tiff, gif, avif or heif, separated by commas, found {unknown!r}"
    )


def test_says_what_a_format_needs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("edgecnn.server.options.can_read", lambda name: name != "HEIF")
    with pytest.raises(MissingExtra, match=r"^--formats heif needs pillow-heif \(pip install .*heif\]'?\)$"):
        ServeOptions(formats="jpeg,heif")


def test_serializes_a_worker_job():
    odd = Path(os.fsdecode(b"/tmp/\xff \xc3\xa9"))
    options = ServeOptions(api_key_file=odd, threads=2, log_format="json", grace_s=1.5)
    sources, roots = (Source("odd", odd), Source("more", odd, has_versions=True)), (Path("exported"), odd)
    job = WorkerJob(
        sources,
        roots,
        options,
        socket_fd=3,
        grpc_address="[::1]:9",
        ready_fd=4,
        handoffs=(Handoff("a", ("image uint8 [-1,32,32,1]", "logits float32 [-1,10]")), Handoff("b", is_unloaded=True)),
        supervisor_pid=7,
    )
    assert parse(WorkerJob, dump(job)) == job


def test_reads_an_api_key(tmp_path: Path):
    file = tmp_path / "key"
    file.write_bytes(b"0123456789abcdef\n")
    assert read_api_key(file) == b"0123456789abcdef"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"0123456789abcde",
        b"0123456789 abcdef",
        b"0123456789abcdef\nmore\n",
        b"0123456789abcde\xff",
        b"x" * 5000,
    ],
)
def test_rejects_an_invalid_api_key_without_quoting(tmp_path: Path, content: bytes):
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"must contain one line of at least 16 printable ASCII") as raised:
        read_api_key(file)
    assert "0123456789" not in str(raised.value)


def test_reports_a_missing_api_key_file(tmp_path: Path):
    with pytest.raises(UsageError, match=r"cannot read the API key file .*: No such file"):
        read_api_key(tmp_path / "key")


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("", ()),
        ("edge.example", ("edge.example",)),
        (" Edge.example:8443 , a_b.example., [::1]:80,", ("edge.example", "a_b.example", "[::1]")),
        ("http://edge.example", None),
        ("edge.example other.example", None),
        ("*.example", None),
        ("edge.example:port", None),
        (":8080", None),
    ],
)
def test_takes_names_of_trusted_hosts(text: str, hosts: tuple[str, ...] | None):
    if hosts is not None:
        assert ServeOptions(trusted_hosts=text).hosts() == ("127.0.0.1", *hosts)
        return
    with pytest.raises(UsageError, match=r"^--trusted-hosts must contain host names, such as edge\.example, .* found "):
        ServeOptions(trusted_hosts=text)
