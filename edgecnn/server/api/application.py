"""What the server answers at which path: the Open Inference Protocol v2, its extensions, and metrics.

Paths are looked up whole in a table of those that exist: a path that was made to lead somewhere else leads nowhere.
"""

import functools
import logging
import re
from typing import Any
from urllib.parse import unquote

import orjson

from edgecnn.protocol.api_key import shown_key
from edgecnn.protocol.refusal import Refusal
from edgecnn.server.api.admission import Admitted, Handler, InferenceRoute
from edgecnn.server.api.control_requests import check_control, object_in
from edgecnn.server.api.http_call import HttpCall, refused
from edgecnn.server.api.not_found import nothing_at
from edgecnn.server.api.openapi import PATH, document
from edgecnn.server.api.request_ids import REQUEST_ID, RequestIds
from edgecnn.server.api.service import Service
from edgecnn.server.http.message import Exchange, Head, Response
from edgecnn.server.metrics import CONTENT_TYPE, Metrics
from edgecnn.server.models.load_queue import Action
from edgecnn.server.models.model import Model
from edgecnn.server.web.pages import Page, routes

_SMALL_BODY = 64 << 10
"""Of what is no inference request; nobody needs a key to send it."""
_OPEN = ("/v2/health/live", "/v2/health/ready")
"""Answered without a key: whoever restarts the server knows none."""

_VERSION = re.compile(r"/v2/models/([^/]+)/versions/([0-9]+)(/[a-z]+)?")
_ACTIONS: dict[str, Action] = {"load": "load", "unload": "unload"}
_CONTROL = re.compile(rf"/v2/repository/models/([^/]+)/({'|'.join(_ACTIONS)})")
"""Of the repository extension, whatever the model is called: it may be one that is not served yet."""

Route = dict[str, Handler]

logger = logging.getLogger(__name__)


class Application:
    """The server's answers over HTTP; see `http.message.Application`."""

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
        """Lay out the table of paths.

        Args:
            service: what is answered.
            metrics: of this server.
            max_body_bytes: of a body that is inflated.
            trusted_hosts: names of this server, in lower case, under which control calls may come.
            access_log: whether every answer is a line in the log.
            pages: of the web page, by path; open to all.
        """
        self._service = service
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._trusted_hosts = trusted_hosts
        self._access_log = access_log
        self._ids = RequestIds()
        self._general = _general(service, metrics) | {PATH: {"GET": lambda _: Response(200, self._described())}}
        self._general |= routes(pages)
        self._open = {*_OPEN, *pages}
        self.lay_out()

    def lay_out(self) -> None:
        """Make the table of paths anew, after a model has come or changed its version."""
        of_models = {path: route for model in self._service.models.values() for path, route in self._of(model).items()}
        self._routes = of_models | self._general  # a model named `stats` does not take the server's
        self._description = b""

    def admit(self, head: Head) -> Response | Admitted:
        """Look at a request before its body is read."""
        try:
            handler = self._handler(head)
            if isinstance(handler, InferenceRoute):
                self._service.check_serving()
                version = handler.keep()
                return Admitted(self._answer, functools.partial(handler, version=version), version)
            _check_small(head)
        except Refusal as refusal:
            self._metrics.refused(refusal.status)
            response = _identified(refused(refusal), head, self._ids)
            self._log(head, response)
            return response
        return Admitted(self._answer, handler)

    def _answer(self, handler: Handler, exchange: Exchange) -> None:
        """Answer a request, now or later."""
        try:
            response = handler(exchange)
        except Refusal as refusal:
            self._metrics.refused(refusal.status)
            response = refused(refusal)
        except Exception:
            logger.exception("a bug: this request failed")
            self._metrics.refused(500)
            response = refused(Refusal("engine", "the server failed on this request; its log says why"))
        if response is not None:
            self.reply(exchange, response)

    def refused(self, status: int) -> None:
        """Take note of something that was answered with an error before it was a request."""
        self._metrics.refused(status)

    def reply(self, exchange: Exchange, response: Response) -> None:
        """Give an exchange its answer, under its id."""
        response = _identified(response, exchange.head, self._ids)
        self._log(exchange.head, response)
        exchange.respond(response)

    def _log(self, head: Head, response: Response) -> None:
        if self._access_log:
            fields = {"method": head.method, "path": head.path, "status": response.status}
            logger.info("answered", extra=fields | {"id": response.headers[-1][1]})

    def _handler(self, head: Head) -> Handler:
        """Find what answers a request.

        Raises:
            Refusal: there is nothing at its path, nothing for its method, or its client may not ask.
        """
        route = self._routes.get(head.path) or self._routes.get(unquote(head.path))
        if head.path not in self._open:
            self._service.check_key(shown_key(head.headers))
        if route is None:
            route = self._version_route(head) or self._control_route(head)
        handler = route.get("GET" if head.method == "HEAD" else head.method)
        if handler is None:
            allowed = sorted(route | ({"HEAD": None} if "GET" in route else {}))
            message = f"{', '.join(allowed)} only"
            raise Refusal("method", message, headers=(("Allow", ", ".join(allowed)),))
        return handler

    def _described(self) -> bytes:
        """Return the OpenAPI document; written when somebody first asks after a change."""
        if not self._description:
            self._description = orjson.dumps(
                document(self._service, max_body_bytes=self._max_body_bytes, small_body_bytes=_SMALL_BODY)
            )
        return self._description

    def _of(self, model: Model) -> dict[str, Route]:
        """Return the paths of a model, with and without the version that is served."""
        numbers = ("", model.number) if model.number else ("",)
        return {path: route for number in numbers for path, route in self._of_version(model, number).items()}

    def _of_version(self, model: Model, number: str) -> dict[str, Route]:
        service = self._service
        routes: dict[str, Route] = {
            "": {"GET": lambda _: _json(service.metadata(model))},
            "/ready": {"GET": lambda _: _ready_model(service, model)},
            "/config": {"GET": lambda _: _json(service.configuration(model))},
            "/card": {"GET": lambda _: _json(service.card(model))},
            "/stats": {"GET": lambda _: _json(service.statistics(model))},
            "/infer": {"POST": InferenceRoute(service, model, number, self._call)},
        }
        base = f"/v2/models/{model.name}/versions/{number}" if number else f"/v2/models/{model.name}"
        return {f"{base}{path}": route for path, route in routes.items()}

    def _call(self, exchange: Exchange) -> HttpCall:
        return HttpCall(exchange, self.reply, max_body_bytes=self._max_body_bytes)

    def _version_route(self, head: Head) -> Route | None:
        """Return the route of a version of a model that has none now: nobody knows yet which it will be."""
        found = _VERSION.fullmatch(head.path)
        model = self._service.models.get(found[1]) if found else None
        if found is None or model is None or model.number:
            return None
        path = found[3] or ""
        return self._of_version(model, found[2]).get(f"/v2/models/{model.name}/versions/{found[2]}{path}")

    def _control_route(self, head: Head) -> Route:
        """Return the route of a control call.

        Raises:
            Refusal: it is none, so there is nothing at this path.
        """
        found = _CONTROL.fullmatch(head.path)
        if found is None:
            raise nothing_at(head.path, self._service.models)
        name, action = unquote(found[1]), _ACTIONS[found[2]]
        return {"POST": lambda exchange: self._control(name, action, exchange)}

    def _control(self, name: str, action: Action, exchange: Exchange) -> None:
        """Load or unload a model, and answer when that is done."""
        self._service.check_control()
        check_control(exchange.head, exchange.body, trusted_hosts=self._trusted_hosts)

        def done(refusal: Refusal | None) -> None:
            if refusal is None:
                self.reply(exchange, _json(self._service.entry(self._service.models[name])))
            else:
                self._metrics.refused(refusal.status)
                self.reply(exchange, refused(refusal))

        exchange.on_gone = self._service.order(action, name, done)


def _general(service: Service, metrics: Metrics) -> dict[str, Route]:
    return {
        "/v2": {"GET": lambda _: _json(service.server())},
        "/v2/health/live": {"GET": lambda _: _json({"live": True})},
        "/v2/health/ready": {"GET": lambda _: _ready(service)},
        "/v2/models/stats": {"GET": lambda _: _json(service.statistics())},
        "/v2/repository/index": {"POST": lambda exchange: _index(service, exchange.body)},
        "/metrics": {"GET": lambda _: Response(200, metrics.page(), (("Content-Type", CONTENT_TYPE),))},
    }


def _index(service: Service, body: bytes) -> Response:
    ready = object_in(body).get("ready", False)
    if not isinstance(ready, bool):
        raise Refusal("invalid", "ready: expected true or false")
    return _json(service.index(ready=ready))


def _ready(service: Service) -> Response:
    service.check_ready()
    return _json({"ready": True})


def _ready_model(service: Service, model: Model) -> Response:
    service.check_model_ready(model)
    return _json({"name": model.name, "ready": True})


def _check_small(head: Head) -> None:
    """Refuse a body that nothing will look at, before it takes memory.

    Raises:
        Refusal: it is large, or of unknown length.
    """
    length = head.headers.get("content-length", "0")
    if "transfer-encoding" in head.headers or len(length) > len(str(_SMALL_BODY)) or int(length) > _SMALL_BODY:
        raise Refusal("too_large", f"at most {_SMALL_BODY} bytes are read here, in a body of known length")


def _json(document: Any) -> Response:
    return Response(200, orjson.dumps(document))


def _identified(response: Response, head: Head, ids: RequestIds) -> Response:
    headers = (*response.headers, (REQUEST_ID, ids.of(head.headers.get("x-request-id", ""))))
    return Response(response.status, response.body, headers)
