"""What the server knows and does, whichever protocol asks: its models, their readiness, and who may ask."""

import hmac
from collections.abc import Callable, Mapping
from typing import Any

from edgecnn import __version__
from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.wording import quoted
from edgecnn.server.api import descriptions
from edgecnn.server.api.inference import Call, Inference, Workplace
from edgecnn.server.models.load_queue import Action, Done, LoadQueue
from edgecnn.server.models.model import Model
from edgecnn.server.models.version import Version

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
    """The server's models, and its answers as plain values. Everything here happens in the event loop's thread.

    Attributes:
        models: by name; may grow.
        is_draining: whether nothing new is begun, since the server is about to end.
        load_queue: where clients ask for models to be loaded and unloaded; None where they may not.
    """

    def __init__(self, models: Mapping[str, Model], *, api_key: bytes | None) -> None:
        """Describe a server.

        Args:
            models: by name.
            api_key: what clients must show, or None.
        """
        self.models = models
        self.is_draining = False
        self.load_queue: LoadQueue | None = None
        self._api_key = api_key
        self._workplace: Workplace | None = None

    def work_at(self, workplace: Workplace) -> None:
        """Infer here from now on."""
        self._workplace = workplace

    @property
    def needs_key(self) -> bool:
        """Whether clients must show a key."""
        return self._api_key is not None

    def check_key(self, shown: str) -> None:
        """Do nothing for who may ask.

        Args:
            shown: the key, or nothing.

        Raises:
            Refusal: a key is needed, and this is not it.
        """
        if self._api_key is not None and not hmac.compare_digest(shown.strip().encode(), self._api_key):
            message = "this is not the server's API key" if shown.strip() else _KEY_NEEDED
            raise Refusal("unauthorized", message)

    def check_serving(self) -> None:
        """Do nothing while new requests are taken.

        Raises:
            Refusal: the server is about to end.
        """
        if self.is_draining or self._workplace is None:
            raise _ending()

    def check_room(self) -> None:
        """Do nothing while a model that answers takes another request, if only until it is known which one is asked.

        Raises:
            Refusal: as many wait for each of them as may.
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
        """Whether every model answers that can, and one does."""
        states = {model.state for model in self.models.values()}
        has_died = any(model.has_died for model in self.models.values())
        return not (self.is_draining or has_died) and "ready" in states and "loading" not in states

    def check_ready(self) -> None:
        """Do nothing where requests will be answered.

        Raises:
            Refusal: they will not.
        """
        if not self.is_ready():
            waiting = [f"{model.name} is {model.state}" for model in self.models.values() if model.state != "ready"]
            message = "the server is about to end" if self.is_draining else f"not ready: {', '.join(waiting)}"
            raise Refusal("unready", message)

    def model(self, name: str, number: str = "") -> Model:
        """Return a model.

        Args:
            name: as a client says it.
            number: of its version; nothing for the one that is served.

        Raises:
            Refusal: there is no such model, or it has another version now.
        """
        model = self.models.get(name)
        # While it has none, nobody knows which version it will be: its state says what there is to say.
        if model is None or (number and model.number and number != model.number):
            version = f" in version {quoted(number)}" if number else ""
            raise Refusal("not_found", f"model {quoted(name)} is not found{version}")
        return model

    def check_model_ready(self, model: Model) -> None:
        """Do nothing where a model answers.

        Raises:
            Refusal: it does not, or the server is about to end.
        """
        _ = model.version
        self.check_serving()

    def infer(self, model: Model, call: Call, *, version: Version | None = None) -> None:
        """Begin with an inference request; the call gets the answer.

        Args:
            model: that is asked.
            call: the request.
            version: of the model, where one was kept for the request; else it is the one that is served.

        Raises:
            Refusal: the server is about to end.
        """
        self.check_serving()
        assert self._workplace is not None
        Inference(model, call, self._workplace, version=version).begin()

    def check_control(self) -> None:
        """Do nothing where clients may load and unload models.

        Raises:
            Refusal: they may not, or the server is about to end.
        """
        if self.load_queue is None:
            raise Refusal(
                "forbidden", "models cannot be loaded or unloaded here: start the server with --model-control"
            )
        self.check_serving()

    def order(self, action: Action, name: str, done: Done) -> Callable[[], None]:
        """Load or unload a model, where `check_control` allows it.

        Args:
            action: which of the two.
            name: of the model.
            done: told once what became of it, or that the server is about to end.

        Returns:
            What is called when the client leaves: what has not begun, and nobody else has asked for, is not done then.

        Raises:
            Refusal: too many orders wait.
        """
        assert self.load_queue is not None
        return self.load_queue.put(action, name, done)

    def drain(self) -> None:
        """Begin nothing new; who waits for a model to be loaded waits no more."""
        self.is_draining = True
        if self.load_queue is not None:
            self.load_queue.end(_ending())

    def server(self) -> dict[str, Any]:
        """Return the protocol's server metadata."""
        return {"name": "edgecnn", "version": __version__, "extensions": list(EXTENSIONS)}

    def metadata(self, model: Model) -> dict[str, Any]:
        """Return the protocol's model metadata."""
        return descriptions.metadata(model.name, model.version)

    def configuration(self, model: Model) -> dict[str, Any]:
        """Return the model configuration extension's answer."""
        return descriptions.configuration(model.name, model.version)

    def card(self, model: Model) -> dict[str, Any]:
        """Return what people want to know of a model."""
        return descriptions.card(model.name, model.version)

    def statistics(self, *models: Model) -> dict[str, Any]:
        """Return the statistics extension's answer about some models, or all."""
        chosen = models or tuple(self.models.values())
        return {"model_stats": [model.statistics.plain(model.name, model.number) for model in chosen]}

    def index(self, *, ready: bool = False) -> list[dict[str, str]]:
        """Return the repository extension's list of models: all, or those that are ready."""
        return [self.entry(model) for model in self.models.values() if not ready or model.state == "ready"]

    def entry(self, model: Model) -> dict[str, str]:
        """Return a model's entry in that list."""
        return {
            "name": model.name,
            "version": model.number,
            "state": model.state.upper(),
            "reason": model.reason,
        }


def _ending() -> Refusal:
    return Refusal("unready", "the server is about to end: ask another one")
