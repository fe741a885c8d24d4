"""Answer HTTP requests: find the handler, convert errors to responses, and log every response."""

import logging

import orjson

from edgecnn.protocol.http_headers import REQUEST_ID
from edgecnn.protocol.refusal import Refusal
from edgecnn.server.api.control_requests import check_control
from edgecnn.server.api.http_call import HttpCall, refused
from edgecnn.server.api.openapi import document
from edgecnn.server.api.routes import InferenceRoute, Routes, json_response
from edgecnn.server.api.service import Service
from edgecnn.server.http.message import Exchange, Head, Response
from edgecnn.server.metrics import Metrics
from edgecnn.server.models.load_queue import Action
from edgecnn.server.web.pages import Page

_SMALL_BODY = 64 << 10
"""Maximum body size of a request other than inference; some of these requests need no API key."""

logger = logging.getLogger(__name__)


class HttpApplication:
    """The HTTP application of the server; see `http.message.Application`.

    `max_body_bytes` limits a decompressed body. Control calls may name one of `trusted_hosts` (lower case) as host. The
    `pages` of the web page, by path, need no API key.
    """

    def __init__(
        self,
        service: Service,
        metrics: Metrics,
        *,
        max_body_bytes: int,
        trusted_hosts: tuple[str, ...],
        access_log: bool,
        pages: dict[str, Page],
    ) -> None:
        self._service = service
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._trusted_hosts = trusted_hosts
        self._access_log = access_log
        self._description = b""
        self._routes = Routes(
            service, metrics, pages, described=self._described, call=self._call, control=self._control
        )

    def lay_out(self) -> None:
        """Rebuild the routes after a model is added or changes its version."""
        self._routes.lay_out()
        self._description = b""

    def admit(self, exchange: Exchange) -> Response | None:
        """See `http.message.Application`."""
        head = exchange.head
        try:
            handler = self._routes.handler(head)
            if isinstance(handler, InferenceRoute):
                handler.admit(exchange)
            else:
                _check_small(head)
                exchange.handler = handler
        except Refusal as refusal:
            self._metrics.refused(refusal.status)
            return self._identified(head, refused(refusal))
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

    def refused(self, status: int) -> None:
        """See `http.message.Application`."""
        self._metrics.refused(status)

    def reply(self, exchange: Exchange, response: Response) -> None:
        """Add the request's id to a response, log it, and send it."""
        exchange.respond(self._identified(exchange.head, response))

    def _identified(self, head: Head, response: Response) -> Response:
        """Log a response, and return it with the request's id."""
        request_id = self._service.request_id(head.headers.get("x-request-id", ""))
        if self._access_log:
            fields = {"method": head.method, "path": head.path, "status": response.status, "id": request_id}
            logger.info("answered", extra=fields)
        return Response(response.status, response.body, (*response.headers, (REQUEST_ID, request_id)))

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
