"""The protocol-independent server: models, readiness, API key, and request ids."""

import hmac
import itertools
import os
from collections.abc import Mapping
from typing import Any

from edgecnn import __version__
from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.wording import quoted
from edgecnn.server.api.explaining import Explainers, ExplanationCall, ExplanationTask, Wanted, compared_bundle
from edgecnn.server.api.inference import InferenceCall, InferenceTask
from edgecnn.server.api.step_pool import StepPool
from edgecnn.server.memory import MemoryBudget
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

_KEY_NEEDED = "expected an API key, found none: send it as Authorization: Bearer KEY or as X-API-Key"


class Service:
    """The server's models, and its responses as JSON values. Use it in the event loop's thread only.

    Attributes:
        models: the models by name; models may be added.
        is_draining: whether the server is shutting down and refuses new requests.
        budget: the memory of all requests.
        api_key: the key that clients must send; it may be replaced. None without one.
        explainers: the sessions that explain images; None without `--explain`.
        load_queue: the clients' orders to load and unload models; None without `--model-control`.
    """

    def __init__(self, models: Mapping[str, Model], *, budget: MemoryBudget, api_key: bytes | None) -> None:
        self.models = models
        self.budget = budget
        self.is_draining = False
        self.load_queue: LoadQueue | None = None
        self.explainers: Explainers | None = None
        self.api_key = api_key
        self._pool: StepPool | None = None
        prefix = os.urandom(6).hex()  # unique to this process
        self._request_ids = (f"{prefix}-{number}" for number in itertools.count(1))

    def start(self, pool: StepPool) -> None:
        """Start to accept inference requests; long steps run in the pool."""
        self._pool = pool

    def request_id(self, sent: str) -> str:
        """Return the client's request id if it is short, printable ASCII; otherwise a new one."""
        is_plain = 0 < len(sent) <= _MAX_REQUEST_ID and sent.isascii() and sent.isprintable()
        return sent if is_plain else next(self._request_ids)

    @property
    def needs_key(self) -> bool:
        """Whether clients must send an API key."""
        return self.api_key is not None

    def check_key(self, shown: str) -> None:
        """Check the client's API key.

        Raises:
            Refusal: the key is missing or wrong.
        """
        if self.api_key is not None and not hmac.compare_digest(shown.strip().encode(), self.api_key):
            message = "the API key is wrong" if shown.strip() else _KEY_NEEDED
            raise Refusal("unauthorized", message)

    def check_serving(self) -> None:
        """Check that the server accepts new requests.

        Raises:
            Refusal: the server is shutting down.
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
            raise Refusal("busy", f"{waiting} requests are already queued: try again later")

    def is_ready(self) -> bool:
        """Return whether a model is ready and no model is loading or failed."""
        states = {model.state for model in self.models.values()}
        has_died = any(model.has_died for model in self.models.values())
        return not (self.is_draining or has_died or self._is_stuck()) and "ready" in states and "loading" not in states

    def _is_stuck(self) -> bool:
        return self._pool is not None and self._pool.is_stuck()

    def check_ready(self) -> None:
        """Check that the server is ready.

        Raises:
            Refusal: the server is not ready.
        """
        if not self.is_ready():
            waiting = [f"{model.name} is {model.state}" for model in self.models.values() if model.state != "ready"]
            if not waiting and self._is_stuck():
                waiting = ["all threads are busy with large requests"]
            message = "the server is shutting down" if self.is_draining else f"not ready: {', '.join(waiting)}"
            raise Refusal("unready", message)

    def model(self, name: str, number: str = "") -> Model:
        """Return the model that a client names, with or without a version number.

        Raises:
            Refusal: the model is unknown, or another version of it is served.
        """
        model = self.models.get(name)
        # A model without a loaded version matches any number: the caller reports its state.
        if model is None or (number and model.number and number != str(model.number)):
            version = f" in version {quoted(number)}" if number else ""
            raise Refusal("not_found", f"model {quoted(name)} is not found{version}")
        return model

    def check_model_ready(self, model: Model) -> None:
        """Check that a model is ready.

        Raises:
            Refusal: the model is not ready, or the server is shutting down.
        """
        _ = model.version
        self.check_serving()

    def infer(self, model: Model, call: InferenceCall, *, version: Version | None = None) -> None:
        """Start an inference request to the version kept open for it, or to the current one.

        Raises:
            Refusal: the server is shutting down.
        """
        self.check_serving()
        assert self._pool is not None
        InferenceTask(model, call, self._pool, version=version).begin()

    def explain(self, model: Model, call: ExplanationCall, *, version: Version | None = None) -> None:
        """Start a request for an explanation, as `infer` does.

        Raises:
            Refusal: explanations are off, the query is invalid, or the server is shutting down.
        """
        if self.explainers is None:
            raise Refusal("forbidden", "images cannot be explained here: start the server with --explain")
        self.check_serving()
        assert self._pool is not None
        wanted = Wanted.of(call.query)
        compared = compared_bundle(self.models, wanted)
        ExplanationTask(
            model, call, self._pool, wanted=wanted, compared=compared, explainers=self.explainers, version=version
        ).begin()

    def require_load_queue(self) -> LoadQueue:
        """Return the load queue.

        Raises:
            Refusal: clients may not load models, or the server is shutting down.
        """
        if self.load_queue is None:
            raise Refusal(
                "forbidden", "models cannot be loaded or unloaded here: start the server with --model-control"
            )
        self.check_serving()
        return self.load_queue

    def drain(self) -> None:
        """Refuse new requests, and cancel waiting orders."""
        self.is_draining = True
        if self.load_queue is not None:
            self.load_queue.end(_ending())

    def server(self) -> dict[str, Any]:
        """Return the protocol's server metadata."""
        extensions = [*EXTENSIONS, *(["explain"] if self.explainers is not None else [])]
        return {"name": "edgecnn", "version": __version__, "extensions": extensions}

    def statistics(self, *models: Model) -> dict[str, Any]:
        """Return the statistics extension's response for some models; without arguments, for all."""
        chosen = models or tuple(self.models.values())
        return {"model_stats": [model.statistics.plain(model.name, model.number) for model in chosen]}

    def index(self, *, ready: bool = False) -> list[dict[str, str]]:
        """Return the repository extension's list of models: all, or only ready ones."""
        return [self.entry(model) for model in self.models.values() if not ready or model.state == "ready"]

    def entry(self, model: Model) -> dict[str, str]:
        """Return a model's entry in the index."""
        return {
            "name": model.name,
            "version": "" if model.number is None else str(model.number),
            "state": model.state.upper(),
            "reason": model.reason,
        }


def _ending() -> Refusal:
    return Refusal("unready", "the server is shutting down: send the request to another one")
