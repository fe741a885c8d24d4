"""The routes of the Open Inference Protocol v2, its extensions, metrics, and the web page.

The whole path is looked up in a table of existing paths, so a manipulated path never matches.
"""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import unquote

import orjson

from edgecnn.protocol.api_key import shown_key
from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.wording import quoted
from edgecnn.server.api.control_requests import object_in
from edgecnn.server.api.descriptions import card, configuration, metadata
from edgecnn.server.api.openapi import PATH
from edgecnn.server.api.service import Service
from edgecnn.server.http.message import Exchange, Handler, Head, Response
from edgecnn.server.metrics import CONTENT_TYPE, Metrics
from edgecnn.server.models.load_queue import Action
from edgecnn.server.models.model import Model
from edgecnn.server.models.version import Version

OPEN = ("/v2/health/live", "/v2/health/ready")
"""Paths without authentication, because orchestrators have no API key."""
_VERSION = re.compile(r"/v2/models/([^/]+)/versions/([0-9]+)(/[a-z]+)?")
_CONTROL = re.compile(r"/v2/repository/models/([^/]+)/(load|unload)")
"""Paths of the repository extension; the model may be unknown to the server."""

Route = dict[str, Handler]
"""The handlers of a path, by method."""

Start = Callable[[Model, Exchange, Version | None], None]
"""Starts a request to a version kept open for it, or to the model's current one."""


class ImageRoute:
    """The handler of requests with images to a model, or to its version `number` if it is not empty."""

    def __init__(self, service: Service, model: Model, number: str, start: Start) -> None:
        self._service = service
        self._model = model
        self._number = number
        self._start = start

    def admit(self, exchange: Exchange) -> None:
        """Set the handler of a request. If its path names the current version, keep this version open.

        A model may change its version while the body arrives.

        Raises:
            Refusal: the server is shutting down.
        """
        self._service.check_serving()
        exchange.handler = self
        if self._number and self._number == str(self._model.number):
            version = self._model.version
            version.enter()
            exchange.on_gone = version.leave
            exchange.handler = functools.partial(self, version=version)

    def __call__(self, exchange: Exchange, version: Version | None = None) -> None:
        """Start a request to the version kept open for it, or to the current one.

        Raises:
            Refusal: the path names another version, or the server is shutting down.
        """
        if version is None and self._number:
            self._service.model(self._model.name, self._number)
        exchange.model = self._model.name
        self._start(self._model, exchange, version)


class Routes:
    """The routes of a server.

    Attributes:
        table: the handlers of each path, without control calls and versions that are not loaded yet.
    """

    def __init__(
        self,
        service: Service,
        metrics: Metrics,
        pages: Mapping[str, Handler],
        *,
        described: Callable[[], bytes],
        infer: Start,
        explain: Start,
        control: Callable[[str, Action, Exchange], None],
    ) -> None:
        self._service = service
        self._infer, self._explain = infer, explain
        self._control = control
        self._open = {*OPEN, *pages}
        self._general = _general(service, metrics)
        self._general[PATH] = {"GET": lambda _: Response(200, described())}
        self._general |= {path: {"GET": page} for path, page in pages.items()}
        self.lay_out()

    def lay_out(self) -> None:
        """Rebuild the table after a model is added or changes its version."""
        of_models = {path: route for model in self._service.models.values() for path, route in self._of(model).items()}
        self.table = of_models | self._general  # a model named `stats` does not replace the server's statistics

    def handler(self, head: Head) -> Handler:
        """Return the handler of a request.

        Raises:
            Refusal: the path or its method does not exist, or the API key is missing or wrong.
        """
        route = self.table.get(head.path) or self.table.get(unquote(head.path))
        if head.path not in self._open:
            self._service.check_key(shown_key(head.headers))
        if route is None:
            route = self._version_route(head) or self._control_route(head)
        handler = route.get("GET" if head.method == "HEAD" else head.method)
        if handler is None:
            allowed = ", ".join(sorted(route | ({"HEAD": None} if "GET" in route else {})))
            raise Refusal(
                "method", f"expected the method {allowed}, found {head.method}", headers=(("Allow", allowed),)
            )
        return handler

    def _of(self, model: Model) -> dict[str, Route]:
        """Return the routes of a model, without a version and with its current one."""
        numbers = ("", str(model.number)) if model.number else ("",)
        return {path: route for number in numbers for path, route in self._of_version(model, number).items()}

    def _of_version(self, model: Model, number: str) -> dict[str, Route]:
        service = self._service
        routes: dict[str, Route] = {
            "": {"GET": lambda _: json_response(metadata(model))},
            "/ready": {"GET": lambda _: _ready_model(service, model)},
            "/config": {"GET": lambda _: json_response(configuration(model))},
            "/card": {"GET": lambda _: json_response(card(model))},
            "/stats": {"GET": lambda _: json_response(service.statistics(model))},
            "/infer": {"POST": ImageRoute(service, model, number, self._infer)},
            "/explain": {"POST": ImageRoute(service, model, number, self._explain)},
        }
        base = f"/v2/models/{model.name}/versions/{number}" if number else f"/v2/models/{model.name}"
        return {f"{base}{path}": route for path, route in routes.items()}

    def _version_route(self, head: Head) -> Route | None:
        """Return the route of a version path, for a model without a loaded version."""
        found = _VERSION.fullmatch(head.path)
        model = self._service.models.get(found[1]) if found else None
        if found is None or model is None or model.number:
            return None
        path = found[3] or ""
        return self._of_version(model, found[2]).get(f"/v2/models/{model.name}/versions/{found[2]}{path}")

    def _control_route(self, head: Head) -> Route:
        """Return the route of a control call.

        Raises:
            Refusal: the path does not exist.
        """
        found = _CONTROL.fullmatch(head.path)
        if found is None:
            raise _not_found(head.path, self._service.models)
        name, action = unquote(found[1]), cast(Action, found[2])
        return {"POST": lambda exchange: self._control(name, action, exchange)}


def json_response(document: Any) -> Response:
    """Return a successful response."""
    return Response(200, orjson.dumps(document))


def _general(service: Service, metrics: Metrics) -> dict[str, Route]:
    return {
        "/v2": {"GET": lambda _: json_response(service.server())},
        "/v2/health/live": {"GET": lambda _: json_response({"live": True})},
        "/v2/health/ready": {"GET": lambda _: _ready(service)},
        "/v2/models/stats": {"GET": lambda _: json_response(service.statistics())},
        "/v2/repository/index": {"POST": lambda exchange: _index(service, exchange.body)},
        "/metrics": {"GET": lambda _: Response(200, metrics.page(), (("Content-Type", CONTENT_TYPE),))},
    }


def _index(service: Service, body: bytes) -> Response:
    ready = object_in(body).get("ready", False)
    if not isinstance(ready, bool):
        raise Refusal("invalid", "ready: expected true or false")
    return json_response(service.index(ready=ready))


def _ready(service: Service) -> Response:
    service.check_ready()
    return json_response({"ready": True})


def _ready_model(service: Service, model: Model) -> Response:
    service.check_model_ready(model)
    return json_response({"name": model.name, "ready": True})


def _not_found(path: str, models: Mapping[str, Model]) -> Refusal:
    """Return the error for an unknown path; it names the unknown model, version or path.

    Names from the path are quoted, because they may contain any character.
    """
    everything = f"GET {PATH} lists all paths"
    # A model's name may contain encoded slashes.
    parts = [unquote(part) for part in path.split("/")]
    if parts[:3] != ["", "v2", "models"] or len(parts) < 4 or not parts[3]:
        hint = "POST /v2/repository/index lists the models" if parts[:3] == ["", "v2", "models"] else everything
        return Refusal("not_found", f"path {quoted(unquote(path))} is not found: {hint}")
    name, rest = parts[3], parts[4:]
    model = models.get(name)
    if model is None:
        hint = "POST /v2/repository/index lists the models"
        return Refusal("not_found", f"model {quoted(name)} is not found: {hint}")
    if rest[:1] == ["versions"] and len(rest) > 1:
        if model.number and rest[1] != str(model.number):
            is_not = f"is not found in version {quoted(rest[1])}"
            return Refusal("not_found", f"model {quoted(name)} {is_not}: {model.number} is served")
        rest = rest[2:]
    return Refusal("not_found", f"model {quoted(name)} has no path {quoted('/' + '/'.join(rest))}: {everything}")
