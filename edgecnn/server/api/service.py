"""The server behind both protocols: its models, their readiness, its API key, and the ids of its requests."""

import hmac
import itertools
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from edgecnn import __version__
from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.wording import quoted
from edgecnn.server.api.inference import Call, Inference
from edgecnn.server.models.load_queue import LoadQueue
from edgecnn.server.models.model import Model
from edgecnn.server.models.version import Version

_MAX_REQUEST_ID = 128
EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "schedule_policy",
    "statistics",
)

_KEY_NEEDED = "an API key is needed, as Authorization: Bearer KEY or as X-API-Key"


class Service:
    """The server's models, and its responses as plain values. Used in the event loop's thread only.

    Attributes:
        models: by name; may grow.
        is_draining: whether new requests are refused, since the server is about to end.
        load_queue: the clients' orders to load and unload models; None if they may not.
    """

    def __init__(self, models: Mapping[str, Model], *, api_key: bytes | None) -> None:
        self.models = models
        self.is_draining = False
        self.load_queue: LoadQueue | None = None
        self._api_key = api_key
        self._pool: ThreadPoolExecutor | None = None
        prefix = os.urandom(6).hex()  # differs from the prefixes of other processes
        self._request_ids = (f"{prefix}-{number}" for number in itertools.count(1))

    def start(self, pool: ThreadPoolExecutor) -> None:
        """Accept inference requests from now on; slow steps run in the pool."""
        self._pool = pool

    def request_id(self, sent: str) -> str:
        """Return the id of a request: the client's if it is short and printable ASCII, otherwise a new one."""
        is_plain = 0 < len(sent) <= _MAX_REQUEST_ID and sent.isascii() and sent.isprintable()
        return sent if is_plain else next(self._request_ids)

    @property
    def needs_key(self) -> bool:
        """Whether clients must send a key."""
        return self._api_key is not None

    def check_key(self, shown: str) -> None:
        """Check the API key that the client sent, if any.

        Raises:
            Refusal: the key is missing or wrong.
        """
        if self._api_key is not None and not hmac.compare_digest(shown.strip().encode(), self._api_key):
            message = "this is not the server's API key" if shown.strip() else _KEY_NEEDED
            raise Refusal("unauthorized", message)

    def check_serving(self) -> None:
        """Check that the server accepts new requests.

        Raises:
            Refusal: the server is about to end.
        """
        if self.is_draining or self._pool is None:
            raise _ending()

    def check_room(self) -> None:
        """Check that at least one ready model has room for another request.

        Raises:
            Refusal: every ready model has too many pending requests.
        """
        waiting = 0
        for model in self.models.values():
            if model.state == "ready":
                if model.pending < model.bounds.max_pending:
                    return
                waiting += model.pending
        if waiting:
            raise Refusal("busy", f"{waiting} requests wait already: try again later")

    def is_ready(self) -> bool:
        """Return whether a model is ready and no model is still loading or has died."""
        states = {model.state for model in self.models.values()}
        has_died = any(model.has_died for model in self.models.values())
        return not (self.is_draining or has_died) and "ready" in states and "loading" not in states

    def check_ready(self) -> None:
        """Check that the server is ready.

        Raises:
            Refusal: it is not.
        """
        if not self.is_ready():
            waiting = [f"{model.name} is {model.state}" for model in self.models.values() if model.state != "ready"]
            message = "the server is about to end" if self.is_draining else f"not ready: {', '.join(waiting)}"
            raise Refusal("unready", message)

    def model(self, name: str, number: str = "") -> Model:
        """Return a model by the name, and the version's number if any, that the client sent.

        Raises:
            Refusal: there is no such model, or its current version is another one.
        """
        model = self.models.get(name)
        # A model without a version is found under any number; its state is reported instead.
        if model is None or (number and model.number and number != model.number):
            version = f" in version {quoted(number)}" if number else ""
            raise Refusal("not_found", f"model {quoted(name)} is not found{version}")
        return model

    def check_model_ready(self, model: Model) -> None:
        """Check that a model is ready.

        Raises:
            Refusal: it is not, or the server is about to end.
        """
        _ = model.version
        self.check_serving()

    def infer(self, model: Model, call: Call, *, version: Version | None = None) -> None:
        """Start an inference request to the version kept open for it, or to the current one.

        Raises:
            Refusal: the server is about to end.
        """
        self.check_serving()
        assert self._pool is not None
        Inference(model, call, self._pool, version=version).begin()

    def orders(self) -> LoadQueue:
        """Return the queue for orders to load and unload models.

        Raises:
            Refusal: clients may not, or the server is about to end.
        """
        if self.load_queue is None:
            raise Refusal(
                "forbidden", "models cannot be loaded or unloaded here: start the server with --model-control"
            )
        self.check_serving()
        return self.load_queue

    def drain(self) -> None:
        """Refuse new requests, and end the orders that wait."""
        self.is_draining = True
        if self.load_queue is not None:
            self.load_queue.end(_ending())

    def server(self) -> dict[str, Any]:
        """Return the protocol's server metadata."""
        return {"name": "edgecnn", "version": __version__, "extensions": list(EXTENSIONS)}

    def statistics(self, *models: Model) -> dict[str, Any]:
        """Return the statistics extension's response for some models, or all."""
        chosen = models or tuple(self.models.values())
        return {"model_stats": [model.statistics.plain(model.name, model.number) for model in chosen]}

    def index(self, *, ready: bool = False) -> list[dict[str, str]]:
        """Return the repository extension's list of models: all, or those that are ready."""
        return [self.entry(model) for model in self.models.values() if not ready or model.state == "ready"]

    def entry(self, model: Model) -> dict[str, str]:
        """Return a model's entry in that list."""
        return {"name": model.name, "version": model.number, "state": model.state.upper(), "reason": model.reason}


def _ending() -> Refusal:
    return Refusal("unready", "the server is about to end: ask another one")
