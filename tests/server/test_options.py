"""What cannot be served is said before anything is bound or loaded."""

import dataclasses
import os
from pathlib import Path

import pytest

from edgecnn.errors import UsageError
from edgecnn.files.schema import dump, parse
from edgecnn.protocol.api_key import read_api_key
from edgecnn.server.models.catalogue import Held, Source
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
def test_a_number_out_of_its_range_is_named_as_the_option(field: str, value: float):
    option = "--" + field.replace("_", "-")
    with pytest.raises(UsageError, match=rf"^{option} must be in .*, found {value:g}$"):
        ServeOptions(**{field: value})


def test_every_field_explains_itself_and_has_a_default():
    for field in dataclasses.fields(ServeOptions):
        assert field.metadata["help"].rstrip("]").endswith((".", "1", "core")), field.name
    assert ServeOptions().host == "127.0.0.1"


def test_more_threads_than_cores_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("edgecnn.server.options.usable_cores", lambda: 4)
    ServeOptions(instances=2, threads=2).check_cores()
    ServeOptions().check_cores()
    with pytest.raises(UsageError, match="3 instances × 2 threads are 6, and this process may use 4"):
        ServeOptions(instances=3, threads=2).check_cores()


def test_certificate_and_key_go_together():
    with pytest.raises(UsageError, match="--tls-cert and --tls-key go together"):
        ServeOptions(tls_cert=Path("cert.pem"))


def test_new_versions_are_not_looked_for_all_the_time():
    assert (ServeOptions(watch_s=0).watch_s, ServeOptions(watch_s=0.1).watch_s) == (0, 0.1)
    with pytest.raises(UsageError, match=r"--watch-s must be 0 for never, or 0\.1 and more, found 1e-09"):
        ServeOptions(watch_s=1e-9)


def test_the_limit_of_pixels_is_not_raised():
    with pytest.raises(UsageError, match="may lower the limit of 64000000, not raise it"):
        ServeOptions(max_pixels=64_000_001)


def test_a_job_arrives_as_it_was_sent():
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
        held=(Held("a", ("image uint8 [-1,32,32,1]", "logits float32 [-1,10]")), Held("b", is_unloaded=True)),
        supervisor_pid=7,
    )
    assert parse(WorkerJob, dump(job)) == job


def test_a_key_is_one_line(tmp_path: Path):
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
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, content: bytes):
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"must hold one line of at least 16 printable ASCII") as raised:
        read_api_key(file)
    assert "0123456789" not in str(raised.value)


def test_a_key_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(UsageError, match=r"cannot read the API key file .*: No such file"):
        read_api_key(tmp_path / "key")
