"""Answer HTTP requests: find the handler, convert errors to responses, and log every response."""

import logging
import time
from collections.abc import Mapping

import orjson

from edgecnn.protocol.http_headers import REQUEST_ID
from edgecnn.protocol.refusal import Refusal
from edgecnn.server.access_log import AccessLog
from edgecnn.server.api.control_requests import check_control, check_page
from edgecnn.server.api.http_call import HttpCall, refused
from edgecnn.server.api.openapi import document
from edgecnn.server.api.routes import OPEN, ImageRoute, Routes, json_response
from edgecnn.server.api.service import Service
from edgecnn.server.http.message import Exchange, Handler, Head, Response
from edgecnn.server.metrics import Metrics
from edgecnn.server.models.load_queue import Action

_SMALL_BODY = 64 << 10
"""Maximum body size of a request other than inference; some of these requests need no API key."""
_ERRORS = 400
"""Lowest status of an error."""
_LEFT = 499
"""Status in the access log of a client that left before the response, as in nginx."""

logger = logging.getLogger(__name__)


class HttpApplication:
    """The HTTP application of the server; see `http.message.Application`.

    `max_body_bytes` limits a decompressed body. With `checks_pages`, requests from web pages of other sites are
    refused, except health checks; see `check_page`. `trusted_hosts` are names of this server in lower case. The `pages`
    of the web page, handlers by path, need no API key. Without an `access_log`, requests are not logged.
    """

    def __init__(
        self,
        service: Service,
        metrics: Metrics,
        *,
        max_body_bytes: int,
        trusted_hosts: tuple[str, ...],
        checks_pages: bool = False,
        access_log: AccessLog | None = None,
        pages: Mapping[str, Handler],
    ) -> None:
        self._service = service
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._trusted_hosts = trusted_hosts
        self._checks_pages = checks_pages
        self._access_log = access_log
        self._description = b""
        self._routes = Routes(
            service,
            metrics,
            pages,
            described=self._described,
            infer=lambda model, exchange, version: service.infer(model, self._call(exchange), version=version),
            explain=lambda model, exchange, version: service.explain(model, self._call(exchange), version=version),
            control=self._control,
        )

    def lay_out(self) -> None:
        """Rebuild the routes after a model is added or changes its version."""
        self._routes.lay_out()
        self._description = b""

    def admit(self, exchange: Exchange) -> Response | None:
        """See `http.message.Application`."""
        head = exchange.head
        try:
            if self._checks_pages and head.path not in OPEN:
                check_page(head, trusted_hosts=self._trusted_hosts)
            handler = self._routes.handler(head)
            if isinstance(handler, ImageRoute):
                handler.admit(exchange)
            else:
                _check_small(head)
                exchange.handler = handler
        except Refusal as refusal:
            self._metrics.refused(refusal.status)
            return self._identified(exchange, refused(refusal))
        return None

    def handle(self, exchange: Exchange) -> None:
        """See `http.message.Application`."""
        release, exchange.on_gone = exchange.on_gone, None
        try:
            response = exchange.handler(exchange)
        except Refusal as refusal:
            self._metrics.refused(refusal.status)
            response = refused(refusal)
        except Exception:
            logger.exception("internal error: this request failed")
            self._metrics.refused(500)
            response = refused(Refusal("engine", "the server failed on this request: see its log"))
        if response is not None:
            self.reply(exchange, response)
        if release is not None:
            release()

    def refused(self, status: int, message: str, *, peer: str, exchange: Exchange | None) -> None:
        """See `http.message.Application`."""
        self._metrics.refused(status)
        if self._access_log is None:
            return
        if exchange is not None:
            self._log(exchange, status, self._request_id(exchange.head), error=message)
        else:
            self._access_log.write(
                client=peer,
                peer=peer,
                method="",
                path="",
                status=status,
                bytes_in=0,
                bytes_out=0,
                begun=time.monotonic(),
                request_id="",
                error=message,
            )

    def left(self, exchange: Exchange) -> None:
        """See `http.message.Application`."""
        if self._access_log is not None:
            self._log(exchange, _LEFT, self._request_id(exchange.head), error="the client left before the response")

    def reply(self, exchange: Exchange, response: Response) -> None:
        """Add the request's id to a response, log it, and send it."""
        exchange.respond(self._identified(exchange, response))

    def _identified(self, exchange: Exchange, response: Response) -> Response:
        """Log a response, and return it with the request's id."""
        request_id = self._service.request_id(exchange.head.headers.get("x-request-id", ""))
        if self._access_log is not None:
            error = orjson.loads(response.body)["error"] if response.status >= _ERRORS else ""
            size = 0 if exchange.head.method == "HEAD" else len(response.body)
            self._log(exchange, response.status, request_id, bytes_out=size, error=error)
        return Response(response.status, response.body, (*response.headers, (REQUEST_ID, request_id)))

    def _request_id(self, head: Head) -> str:
        return self._service.request_id(head.headers.get("x-request-id", ""))

    def _log(self, exchange: Exchange, status: int, request_id: str, *, bytes_out: int = 0, error: str = "") -> None:
        """Write a request to the access log."""
        assert self._access_log is not None
        self._access_log.write(
            client=exchange.client,
            peer=exchange.peer,
            method=exchange.head.method,
            path=exchange.head.path,
            status=status,
            bytes_in=exchange.size,
            bytes_out=bytes_out,
            begun=exchange.begun,
            request_id=request_id,
            model=exchange.model,
            bundle=exchange.bundle,
            error=error,
        )

    def _described(self) -> bytes:
        """Return the OpenAPI document; build it at the first request after a change."""
        if not self._description:
            self._description = orjson.dumps(
                document(self._service, max_body_bytes=self._max_body_bytes, small_body_bytes=_SMALL_BODY)
            )
        return self._description

    def _call(self, exchange: Exchange) -> HttpCall:
        return HttpCall(exchange, self.reply, max_body_bytes=self._max_body_bytes)

    def _control(self, name: str, action: Action, exchange: Exchange) -> None:
        """Load or unload a model, and respond when the order is complete."""
        queue = self._service.require_load_queue()
        check_control(exchange.head, exchange.body, trusted_hosts=self._trusted_hosts)

        def done(refusal: Refusal | None) -> None:
            if refusal is None:
                self.reply(exchange, json_response(self._service.entry(self._service.models[name])))
            else:
                self._metrics.refused(refusal.status)
                self.reply(exchange, refused(refusal))

        exchange.on_gone = queue.put(action, name, done)


def _check_small(head: Head) -> None:
    """Check the size of a body other than an inference request, before it is read.

    Raises:
        Refusal: the body is too large, or its length is unknown.
    """
    length = head.headers.get("content-length", "0")
    if "transfer-encoding" in head.headers or len(length) > len(str(_SMALL_BODY)) or int(length) > _SMALL_BODY:
        raise Refusal("too_large", f"expected a body of at most {_SMALL_BODY} bytes with a Content-Length")
