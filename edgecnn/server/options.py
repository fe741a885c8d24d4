"""The options of the server, with their defaults and help texts."""
# ruff: noqa: RUF009  # `_option` returns a field

import math
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from edgecnn.bundle.formats import FORMATS, SERVED, can_read, listed, needed
from edgecnn.bundle.limits import MAX_PIXELS
from edgecnn.errors import MissingExtra, UsageError
from edgecnn.host.resources import memory_limit, usable_cores
from edgecnn.runtime.engines.choices import check_device, check_engine
from edgecnn.server.proxies import TrustedProxies

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]

_HOST_NAME = re.compile(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)
_PORT = re.compile(r":[0-9]{1,5}$")
_DAY_S = 86400.0
_SHORTEST_WATCH_S = 0.1
_FORMATS = listed(FORMATS).lower()


def _option(default: Any, text: str, bounds: tuple[float, float] | None = None, *, is_size: bool = False) -> Any:
    """Return a field with its help; a number must be within the bounds, inclusive. A size may have a unit: `512M`."""
    return field(default=default, metadata={"help": text, "bounds": bounds, "is_size": is_size})


@dataclass(frozen=True)
class ServeOptions:
    """Options of the server; the command line shows the help of each field."""

    host: str = _option("127.0.0.1", "Host name or address to listen on; 0.0.0.0 or :: for all interfaces.")
    port: int = _option(8080, "Port for HTTP; 0 selects a free one, which is logged.", (0, 65535))
    grpc_port: int | None = _option(
        None, "Port for gRPC; 0 selects a free one. Without it, gRPC is disabled.", (0, 65535)
    )
    engine: str = _option("auto", "Engine: auto, onnxruntime or openvino.")
    device: str = _option("cpu", "Device: cpu, cuda[:N], tensorrt[:N], gpu[:N], npu or auto.")
    threads: int | None = _option(
        None, "Threads per run. [default: from the profile, else one per usable core]", (1, 1024)
    )
    instances: int | None = _option(None, "Concurrent runs per model. [default: from the profile, else 1]", (1, 1024))
    max_batch: int = _option(32, "Maximum images per run.", (1, 4096))
    max_queue: int = _option(256, "Maximum queued requests per model; further ones get 503.", (1, 1_000_000))
    max_delay_us: int = _option(0, "Microseconds that a run may wait for more requests.", (0, 1_000_000))
    max_body_mb: int = _option(64, "Maximum MiB of a request body, compressed and decompressed.", (1, 2048))
    max_connections: int = _option(
        1000, "Maximum open connections; a new one replaces one without a request, or waits.", (1, 1_000_000)
    )
    max_connections_per_address: int | None = _option(
        None,
        "Maximum open connections of one address (IPv6: of a /64 network); 0 for no limit. "
        "[default: half of --max-connections]",
        (0, 1_000_000),
    )
    memory_budget: int | None = _option(
        None,
        "Memory for all requests together: bytes, or a number with K, M or G. "
        "[default: half of the memory that this process may use]",
        (16 << 20, math.inf),
        is_size=True,
    )
    formats: str = _option(
        ",".join(SERVED).lower(), f"Comma-separated formats of image files that clients may send: {_FORMATS}."
    )
    max_pixels: int = _option(MAX_PIXELS, "Maximum width × height of an encoded image.", (1, math.inf))
    max_request_pixels: int = _option(
        4 * MAX_PIXELS, "Maximum sum of width × height over the encoded images of one request.", (1, math.inf)
    )
    header_timeout_s: float = _option(10.0, "Timeout in seconds for receiving the headers of a request.", (0.1, _DAY_S))
    body_timeout_s: float = _option(30.0, "Timeout in seconds for receiving the body of a request.", (0.1, _DAY_S))
    write_timeout_s: float = _option(30.0, "Timeout in seconds for sending a response.", (0.1, _DAY_S))
    idle_timeout_s: float = _option(75.0, "Timeout in seconds of a connection without a request.", (0.1, _DAY_S))
    grace_s: float = _option(30.0, "Seconds for accepted requests after SIGTERM.", (0, _DAY_S))
    load_timeout_s: float = _option(
        120.0,
        "Timeout in seconds of the preflight of one bundle; five times as long while other versions are served.",
        (0.1, _DAY_S),
    )
    stall_timeout_s: float = _option(
        60.0, "Timeout in seconds of one run; then the worker is restarted.", (0.1, _DAY_S)
    )
    api_key_file: Path | None = _option(
        None, "File with the API key that requests need; health checks and the web page need none."
    )
    tls_cert: Path | None = _option(None, "PEM file with the certificate chain.")
    tls_key: Path | None = _option(None, "PEM file with the unencrypted private key.")
    require_signature: Path | None = _option(
        None, "PEM file with a public key; only bundles signed with its private key are served."
    )
    explain: bool = _option(
        False, "Show clients what a model computes for an image: feature maps and weights, in the page's tab Inside."
    )
    model_control: bool = _option(False, "Let clients load and unload models; see --trusted-hosts.")
    trusted_hosts: str = _option(
        "", "Comma-separated host names by which clients reach this server, in addition to localhost and addresses."
    )
    trusted_proxies: str = _option(
        "",
        "Comma-separated addresses or networks of proxies. Their X-Forwarded-For names the client, and the limit per "
        "address does not apply to them.",
    )
    watch_s: float = _option(2.0, "Seconds between checks for new versions; 0 disables them.", (0, _DAY_S))
    log_format: LogFormat = _option("text", "text, or json for one object per line.")
    log_level: LogLevel = _option("info", "Minimum level of log records.")
    access_log: bool = _option(False, "Log each request, except health checks.")
    access_log_health: bool = _option(False, "Log health checks too.")
    no_page: bool = _option(False, "Do not serve the web page at /.")
    strict: bool = _option(False, "Exit if a bundle cannot be served, or at a warning.")
    cache: bool = _option(False, "Cache compiled graphs for the next start.")

    def __post_init__(self) -> None:
        for each in fields(self):
            value, bounds = getattr(self, each.name), each.metadata["bounds"]
            if bounds and value is not None and not bounds[0] <= value <= bounds[1]:
                option = "--" + each.name.replace("_", "-")
                if each.metadata["is_size"]:
                    least, found = int(bounds[0]) >> 20, value / (1 << 20)
                    raise UsageError(f"{option} must be at least {least}M, found {found:.3g}M")
                raise UsageError(f"{option} must be in {bounds[0]:g}..{bounds[1]:g}, found {value:g}")
        if 0 < self.watch_s < _SHORTEST_WATCH_S:
            raise UsageError(f"--watch-s must be 0 or at least {_SHORTEST_WATCH_S:g}, found {self.watch_s:g}")
        if self.grpc_port and self.grpc_port == self.port:
            raise UsageError(f"--port and --grpc-port must differ, found {self.port} for both")
        if not self.host:
            raise UsageError("--host must not be empty: use an address, such as 127.0.0.1")
        if "/" in self.host or self.host.startswith("[") or self.host.count(":") == 1:
            raise UsageError(
                f"--host must be a host name or an address, such as 127.0.0.1, found {self.host!r}: set the "
                f"port with --port, and use --tls-cert for https"
            )
        self._check_hosts()
        TrustedProxies.parse(self.trusted_proxies)
        check_engine(self.engine)
        check_device(self.device)
        if (self.tls_cert is None) != (self.tls_key is None):
            raise UsageError(
                "--tls-cert and --tls-key must be given together: pass the certificate and its private key"
            )
        if self.max_pixels > MAX_PIXELS:
            raise UsageError(f"--max-pixels must be at most {MAX_PIXELS}, found {self.max_pixels}")
        for name in self._format_names() - {each.lower() for each in FORMATS}:
            raise UsageError(f"--formats must contain {_FORMATS}, separated by commas, found {name!r}")
        for name in self.image_formats:
            if not can_read(name):
                raise MissingExtra(f"--formats {name.lower()} needs {needed(name)}")

    @property
    def tls(self) -> tuple[Path, Path] | None:
        """The files of the certificate and its private key; None for a server without TLS."""
        return (self.tls_cert, self.tls_key) if self.tls_cert and self.tls_key else None

    @property
    def image_formats(self) -> tuple[str, ...]:
        """Formats of image files that clients may send: names of `FORMATS`, in their order."""
        return tuple(each for each in FORMATS if each.lower() in self._format_names())

    def _format_names(self) -> set[str]:
        return {name.strip().lower() for name in self.formats.split(",")}

    @property
    def scheme(self) -> str:
        """The scheme of the server's URL."""
        return "https" if self.tls else "http"

    def _check_hosts(self) -> None:
        for name in self.trusted_hosts.split(","):
            if name.strip() and not _HOST_NAME.fullmatch(name.strip()):
                raise UsageError(
                    "--trusted-hosts must contain host names, such as edge.example, separated by commas, found "
                    f"{name.strip()!r}"
                )

    def hosts(self) -> tuple[str, ...]:
        """Return the host names that requests may use for this server, in lower case and without a port."""
        named = [name.strip().lower() for name in self.trusted_hosts.split(",")]
        return (self.host.lower(), *(_PORT.sub("", name).removesuffix(".") for name in named if name))

    def check_memory(self) -> None:
        """Check that the memory budget fits the memory that this process may use.

        Raises:
            UsageError: it is larger.
        """
        limit = memory_limit()
        if self.memory_budget is not None and limit is not None and self.memory_budget > limit:
            raise UsageError(
                f"--memory-budget must be at most the {limit >> 20:,} MiB that this process may use, found "
                f"{self.memory_budget >> 20:,} MiB: engines and models need memory too"
            )

    def check_cores(self) -> None:
        """Check that instances × threads fit the cores that this process may use.

        Raises:
            UsageError: they need more cores.
        """
        cores = usable_cores()
        instances, threads = self.instances or 1, self.threads or 1
        if instances * threads > cores:
            raise UsageError(
                f"{instances} instances × {threads} threads are {instances * threads}, and this process may use "
                f"{cores} cores: reduce --instances or --threads"
            )
