"""How bundles are served: the options, and the only place where their defaults are written."""
# ruff: noqa: RUF009  # `_option` returns a field

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from edgecnn.bundle.limits import MAX_PIXELS
from edgecnn.errors import UsageError
from edgecnn.host.resources import usable_cores
from edgecnn.runtime.engines.choices import check_backend, check_device

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]

_DAY_S = 86400.0
_SHORTEST_WATCH_S = 0.1


def _option(default: Any, text: str, bounds: tuple[float, float] | None = None) -> Any:
    """Return a field with its help; a number must lie in the bounds, both ends included."""
    return field(default=default, metadata={"help": text, "bounds": bounds})


@dataclass(frozen=True)
class ServeOptions:
    """How bundles are served; each field's help is what the command line shows."""

    host: str = _option("127.0.0.1", "Name or address to listen on; 0.0.0.0 or :: for every network of the machine.")
    port: int = _option(8080, "0 takes any free one, and says which.", (0, 65535))
    grpc_port: int | None = _option(
        None, "Port for gRPC beside HTTP, 0 for any free one; without it there is none.", (0, 65535)
    )
    backend: str = _option("auto", "auto, onnxruntime or openvino.")
    device: str = _option("cpu", "One of cpu, cuda[:N], tensorrt[:N], gpu[:N], npu, auto.")
    threads: int | None = _option(
        None, "Threads of a run. [default: the profile's, else one per usable core]", (1, 1024)
    )
    instances: int | None = _option(None, "Runs at once of a model. [default: the profile's, else 1]", (1, 1024))
    max_batch: int = _option(32, "Images of a run, at most.", (1, 4096))
    max_queue: int = _option(256, "Requests of a model that may wait; more are refused with 503.", (1, 1_000_000))
    max_delay_us: int = _option(0, "Microseconds that a run may wait for others to join it.", (0, 1_000_000))
    max_body_mb: int = _option(64, "MiB of a request's body, as it is sent and as it is inflated.", (1, 2048))
    max_connections: int = _option(1000, "Open connections; a further one ends an idle one, or waits.", (1, 1_000_000))
    max_pixels: int = _option(
        MAX_PIXELS, "Width × height of an encoded image; larger ones are not decoded.", (1, math.inf)
    )
    header_timeout_s: float = _option(10.0, "Seconds for a request's headers.", (0.1, _DAY_S))
    body_timeout_s: float = _option(30.0, "Seconds for a request's body.", (0.1, _DAY_S))
    write_timeout_s: float = _option(30.0, "Seconds that a client may leave an answer unread.", (0.1, _DAY_S))
    idle_timeout_s: float = _option(75.0, "Seconds that a connection stays open without a request.", (0.1, _DAY_S))
    grace_s: float = _option(30.0, "Seconds after SIGTERM for what was accepted.", (0, _DAY_S))
    load_timeout_s: float = _option(
        120.0, "Seconds for opening and proving one bundle in a process apart.", (0.1, _DAY_S)
    )
    stall_timeout_s: float = _option(
        60.0, "Seconds of one run, after which the worker is started again.", (0.1, _DAY_S)
    )
    api_key_file: Path | None = _option(
        None, "File with the key that requests must bear; only health and the page are open to all."
    )
    tls_cert: Path | None = _option(None, "PEM file with the certificate, and those that it rests on.")
    tls_key: Path | None = _option(None, "PEM file with its private key, not encrypted.")
    require_signature: Path | None = _option(
        None, "PEM file with a public key: only bundles that its owner has signed are served."
    )
    model_control: bool = _option(False, "Let clients load and unload models; see --trusted-hosts.")
    trusted_hosts: str = _option("", "Names of this server, with commas, besides localhost and its addresses.")
    watch_s: float = _option(2.0, "Seconds between two looks for new versions of models; 0 for never.", (0, _DAY_S))
    log_format: LogFormat = _option("text", "json is one object a line.")
    log_level: LogLevel = _option("info", "The least that is logged.")
    access_log: bool = _option(False, "Log every request.")
    no_page: bool = _option(False, "Serve no web page at /.")
    strict: bool = _option(False, "A bundle that cannot be served, or a warning, ends the server.")
    cache: bool = _option(False, "Keep compiled graphs for the next start.")

    def __post_init__(self) -> None:
        for each in fields(self):
            value, bounds = getattr(self, each.name), each.metadata["bounds"]
            if bounds and value is not None and not bounds[0] <= value <= bounds[1]:
                option = "--" + each.name.replace("_", "-")
                raise UsageError(f"{option} must be in {bounds[0]:g}..{bounds[1]:g}, found {value:g}")
        if 0 < self.watch_s < _SHORTEST_WATCH_S:
            raise UsageError(
                f"--watch-s must be 0 for never, or {_SHORTEST_WATCH_S:g} and more, found {self.watch_s:g}"
            )
        if self.grpc_port and self.grpc_port == self.port:
            raise UsageError(f"--port and --grpc-port are both {self.port}: HTTP and gRPC need one each")
        if not self.host:
            raise UsageError("--host is empty: name an address, such as 127.0.0.1")
        if "/" in self.host or self.host.startswith("[") or self.host.count(":") == 1:
            raise UsageError(
                f"--host is a name or an address alone, such as 127.0.0.1, found {self.host!r}: the port is "
                f"--port, and https comes with --tls-cert"
            )
        check_backend(self.backend)
        check_device(self.device)
        if (self.tls_cert is None) != (self.tls_key is None):
            raise UsageError("--tls-cert and --tls-key go together: a certificate and its private key")
        if self.max_pixels > MAX_PIXELS:
            raise UsageError(f"--max-pixels may lower the limit of {MAX_PIXELS}, not raise it: found {self.max_pixels}")

    @property
    def tls(self) -> tuple[Path, Path] | None:
        """The files of the certificate and its private key; None for a server without TLS."""
        return (self.tls_cert, self.tls_key) if self.tls_cert and self.tls_key else None

    @property
    def scheme(self) -> str:
        """The scheme of the server's URL."""
        return "https" if self.tls else "http"

    def hosts(self) -> tuple[str, ...]:
        """Return the names of this server that may stand in control calls, in lower case."""
        named = [self.host, *self.trusted_hosts.split(",")]
        return tuple(name.strip().lower() for name in named if name.strip())

    def check_cores(self) -> None:
        """Check that instances × threads fit the cores that this process may use.

        Raises:
            UsageError: they do not.
        """
        cores = usable_cores()
        instances, threads = self.instances or 1, self.threads or 1
        if instances * threads > cores:
            raise UsageError(
                f"{instances} instances × {threads} threads are {instances * threads}, and this process may use "
                f"{cores} of the machine's cores: more would only make it slower"
            )
