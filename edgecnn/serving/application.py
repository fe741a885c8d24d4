"""What the server answers at which path: the Open Inference Protocol v2, its extensions, and metrics.

Paths are looked up whole in a table of those that exist: a path that was made to lead somewhere else leads nowhere.
"""

import hmac
import itertools
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import orjson

from edgecnn import __version__
from edgecnn.serving.http.message import Exchange, Head, Response
from edgecnn.serving.inference import Inference, Workplace, refused
from edgecnn.serving.metrics import CONTENT_TYPE, Metrics
from edgecnn.serving.model import RETRY, VERSION, Model
from edgecnn.serving.protocol.wording import quoted
from edgecnn.serving.refusal import Refusal

EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "schedule_policy",
    "statistics",
)
REQUEST_ID = "X-Request-ID"
_LONGEST_ID = 128
_INFER = "/infer"
_SMALL_BODY = 64 << 10
"""Of what is no inference request; nobody needs a key to send it."""
_OPEN = ("/v2/health/live", "/v2/health/ready")
"""Answered without a key: whoever restarts the server knows none."""

_CONTROL = re.compile(r"/v2/repository/models/[^/]+/(?:load|unload)")
"""Of the repository extension, whatever the model is called; clients that load models should hear why they cannot."""

Handler = Callable[[Exchange], Response | None]
"""Answers at once, or gives the exchange its answer later and returns None."""

logger = logging.getLogger(__name__)


class Application:
    """The server's answers; see `http.message.Application`.

    Attributes:
        is_draining: whether nothing new is begun, since the server is about to end.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        metrics: Metrics,
        *,
        api_key: bytes | None,
        access_log: bool,
    ) -> None:
        """Lay out the table of paths.

        Args:
            models: by name.
            metrics: of this server.
            api_key: what clients must show, or None.
            access_log: whether every answer is a line in the log.
        """
        self.is_draining = False
        self._models = models
        self._metrics = metrics
        self._api_key = api_key
        self._access_log = access_log
        self._workplace: Workplace | None = None
        prefix = os.urandom(6).hex()
        self._ids = (f"{prefix}-{number}" for number in itertools.count(1))
        self._routes = _general(self) | {
            path: route for model in models.values() for path, route in self._of(model).items()
        }

    def work_at(self, workplace: Workplace) -> None:
        """Infer here from now on."""
        self._workplace = workplace

    def admit(self, head: Head) -> Response | None:
        """Look at a request before its body is read."""
        try:
            self._handler(head)
            if not head.path.endswith(_INFER):
                _check_small(head)
            elif self.is_draining:
                raise _ending()
        except Refusal as refusal:
            self._metrics.refused(refusal.status)
            response = _identified(refused(refusal), head, self._ids)
            self._log(head, response)
            return response
        return None

    def handle(self, exchange: Exchange) -> None:
        """Answer a request, now or later."""
        try:
            response = self._handler(exchange.head)(exchange)
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

    def is_ready(self) -> bool:
        """Whether every model answers that can, and one does."""
        states = {model.state for model in self._models.values()}
        has_died = any(model.has_died for model in self._models.values())
        return not (self.is_draining or has_died) and "ready" in states and "loading" not in states

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
        if self._api_key is not None and head.path not in _OPEN and not self._knows_key(head):
            raise Refusal("unauthorized", "an API key is needed", headers=(("WWW-Authenticate", "Bearer"),))
        if route is None and _CONTROL.fullmatch(head.path):
            route = {"POST": _control_is_off}
        if route is None:
            raise Refusal("not_found", _nothing_at(unquote(head.path)))
        handler = route.get("GET" if head.method == "HEAD" else head.method)
        if handler is None:
            allowed = sorted(route | ({"HEAD": None} if "GET" in route else {}))
            message = f"{', '.join(allowed)} only"
            raise Refusal("method", message, headers=(("Allow", ", ".join(allowed)),))
        return handler

    def _knows_key(self, head: Head) -> bool:
        scheme, _, shown = head.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            shown = head.headers.get("x-api-key", "")
        return hmac.compare_digest(shown.strip().encode(), self._api_key or b"")

    def _of(self, model: Model) -> dict[str, dict[str, Handler]]:
        """Return the paths of a model, with and without its version."""
        routes: dict[str, dict[str, Handler]] = {
            "": {"GET": lambda _: _json(model.describe())},
            "/ready": {"GET": lambda _: self._ready_model(model)},
            "/config": {"GET": lambda _: _json(model.configuration())},
            "/stats": {"GET": lambda _: _json({"model_stats": [_statistics(model)]})},
            "/infer": {"POST": lambda exchange: self._infer(model, exchange)},
        }
        base = f"/v2/models/{model.name}"
        return {
            f"{base}{version}{path}": route
            for version in ("", f"/versions/{VERSION}")
            for path, route in routes.items()
        }

    def _infer(self, model: Model, exchange: Exchange) -> None:
        if self.is_draining or self._workplace is None:
            raise _ending()
        Inference(model, exchange, self._workplace).begin()

    def _ready_model(self, model: Model) -> Response:
        model.check_ready()
        if self.is_draining:
            raise _ending()
        return _json({"name": model.name, "ready": True})

    def server(self) -> Response:
        """Return the protocol's server metadata."""
        return _json({"name": "edgecnn", "version": __version__, "extensions": EXTENSIONS})

    def live(self) -> Response:
        """Say that this process answers."""
        return _json({"live": True})

    def ready(self) -> Response:
        """Say whether requests will be answered."""
        if self.is_ready():
            return _json({"ready": True})
        waiting = [f"{model.name} is {model.state}" for model in self._models.values() if model.state != "ready"]
        message = "the server is about to end" if self.is_draining else f"not ready: {', '.join(waiting)}"
        raise Refusal("unready", message, headers=RETRY)

    def statistics(self) -> Response:
        """Return the statistics extension's answer about all models."""
        return _json({"model_stats": [_statistics(model) for model in self._models.values()]})

    def index(self) -> Response:
        """Return the repository extension's list of models."""
        return _json(
            [
                {"name": model.name, "version": VERSION, "state": model.state.upper(), "reason": model.reason}
                for model in self._models.values()
            ]
        )

    def metrics(self) -> Response:
        """Return what Prometheus reads."""
        return Response(200, self._metrics.page(), (("Content-Type", CONTENT_TYPE),))


def _general(answers: Application) -> dict[str, dict[str, Handler]]:
    return {
        "/v2": {"GET": lambda _: answers.server()},
        "/v2/health/live": {"GET": lambda _: answers.live()},
        "/v2/health/ready": {"GET": lambda _: answers.ready()},
        "/v2/models/stats": {"GET": lambda _: answers.statistics()},
        "/v2/repository/index": {"POST": lambda _: answers.index()},
        "/metrics": {"GET": lambda _: answers.metrics()},
    }


def _control_is_off(_: Exchange) -> Response:
    raise Refusal("forbidden", "models cannot be loaded or unloaded here: the server serves what it was started with")


def _statistics(model: Model) -> dict[str, Any]:
    return model.metrics.statistics.plain(model.name, VERSION)


def _ending() -> Refusal:
    return Refusal("unready", "the server is about to end: ask another one", headers=RETRY)


def _check_small(head: Head) -> None:
    """Refuse a body that nothing will look at, before it takes memory.

    Raises:
        Refusal: it is large, or of unknown length.
    """
    length = head.headers.get("content-length", "0")
    if "transfer-encoding" in head.headers or len(length) > len(str(_SMALL_BODY)) or int(length) > _SMALL_BODY:
        raise Refusal("too_large", f"at most {_SMALL_BODY} bytes are read here, in a body of known length")


def _nothing_at(path: str) -> str:
    """Say what is not there; a name is quoted, since anything may stand in it."""
    parts = path.split("/")
    if parts[:3] == ["", "v2", "models"] and len(parts) > 3 and parts[3]:
        return f"model {quoted(parts[3])} is not found, or has no such version or path"
    return f"there is nothing at {quoted(path)}"


def _json(document: Any) -> Response:
    return Response(200, orjson.dumps(document))


def _identified(response: Response, head: Head, ids: Iterator[str]) -> Response:
    shown = head.headers.get("x-request-id", "")
    is_plain = 0 < len(shown) <= _LONGEST_ID and shown.isascii() and shown.isprintable()
    headers = (*response.headers, (REQUEST_ID, shown if is_plain else next(ids)))
    return Response(response.status, response.body, headers)
