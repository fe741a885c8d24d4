"""What an HTTP request keeps while its body arrives: what will answer it, and the version that it names.

Versions are exchanged meanwhile. A request that has named one is answered by that, which stays open until then.
"""

from collections.abc import Callable
from dataclasses import dataclass

from edgecnn.server.api.inference import Call
from edgecnn.server.api.service import Service
from edgecnn.server.http.message import Exchange, Response
from edgecnn.server.models.model import Model
from edgecnn.server.models.version import Version

Handler = Callable[[Exchange], Response | None]
"""Answers at once, or gives the exchange its answer later and returns None."""


class InferenceRoute:
    """Answers inference requests to a model, or to one version of it; a `Handler`."""

    def __init__(self, service: Service, model: Model, number: str, call: Callable[[Exchange], Call]) -> None:
        """Describe what is asked at one path.

        Args:
            service: that infers.
            model: that is asked.
            number: of the version in the path, or nothing.
            call: what a request is to the service.
        """
        self._service = service
        self._model = model
        self._number = number
        self._call = call

    def keep(self) -> Version | None:
        """Return the version that the path names, where it is served now; who gets it has to leave it."""
        if not self._number or self._number != self._model.number:
            return None
        version = self._model.version
        version.enter()
        return version

    def __call__(self, exchange: Exchange, version: Version | None = None) -> None:
        """Begin with a request, to a version that was kept for it or to the one that is served now.

        Raises:
            Refusal: the path names another one, or the server is about to end.
        """
        if version is None and self._number:
            self._service.model(self._model.name, self._number)
        self._service.infer(self._model, self._call(exchange), version=version)


@dataclass(slots=True)
class Admitted:
    """See `http.message.Admitted`.

    Attributes:
        answer: gives an exchange its answer by a handler.
        handler: that was found.
        version: that is kept, if any.
    """

    answer: Callable[[Handler, Exchange], None]
    handler: Handler
    version: Version | None = None

    def handle(self, exchange: Exchange) -> None:
        """See there."""
        self.answer(self.handler, exchange)
        self.drop()

    def drop(self) -> None:
        """See there."""
        version, self.version = self.version, None
        if version is not None:
            version.leave()
