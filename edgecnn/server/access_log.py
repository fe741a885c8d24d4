"""The access log: one line for each answered request, over HTTP and gRPC, with the same fields."""

import logging
import re
import time

_HEALTH = re.compile(
    r"/v2/health/(?:live|ready)|/v2/models/[^/]+(?:/versions/[0-9]+)?/ready"
    r"|/inference\.GRPCInferenceService/(?:ServerLive|ServerReady|ModelReady)"
)
"""Paths of health probes."""

logger = logging.getLogger(__name__)


class AccessLog:
    """Writes the lines. Health probes are left out unless `health` is set."""

    def __init__(self, *, health: bool) -> None:
        self._health = health

    def write(
        self,
        *,
        client: str,
        peer: str,
        method: str,
        path: str,
        status: int | str,
        bytes_in: int,
        bytes_out: int,
        begun: float,
        request_id: str,
        model: str = "",
        bundle: tuple[str, str] = ("", ""),
        error: str = "",
    ) -> None:
        """Write the line of one request. Fields without a value are left out.

        Args:
            client: address of the client.
            peer: address of the connection's other end; it is left out if it is the client's.
            method: of HTTP; POST for gRPC.
            path: as sent, without the query; the log escapes and shortens it.
            status: of HTTP, 499 if the client left before the response; or the name of gRPC's code.
            bytes_in: size of the body or the message as sent.
            bytes_out: size of the body or the message of the response.
            begun: when the request began, by the monotonic clock.
            request_id: the client's or a generated one.
            model: name of the model.
            bundle: version and digest of the bundle that the request reached.
            error: text of the error.
        """
        if not self._health and _HEALTH.fullmatch(path):
            return
        version, digest = bundle
        fields = {
            "client": client,
            "peer": "" if peer == client else peer,
            "method": method,
            "path": path,
            "model": model,
            "version": version,
            "digest": digest,
            "status": status,
            "bytes_in": bytes_in,
            "bytes_out": bytes_out,
            "ms": round(1000 * (time.monotonic() - begun), 3),
            "id": request_id,
            "error": error,
        }
        logger.info("answered", extra={name: value for name, value in fields.items() if value != ""})
