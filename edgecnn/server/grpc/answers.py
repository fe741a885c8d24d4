"""What each call is answered with, but inference and control: from the plain values that HTTP answers."""

from collections.abc import Callable
from typing import Any

from edgecnn.protocol.refusal import Refusal
from edgecnn.server.api.service import Service

Answer = Callable[[Service, Any], dict[str, Any]]
"""Takes the call's message, whose fields are attributes; None for those that are `OPEN`."""


def _model_ready(service: Service, message: Any) -> dict[str, Any]:
    """Say whether a model would answer: a question that has an answer about models that there are not, too."""
    try:
        service.check_model_ready(service.model(message.name, message.version))
    except Refusal:
        return {"ready": False}
    return {"ready": True}


def _statistics(service: Service, message: Any) -> dict[str, Any]:
    if message.name:
        return service.statistics(service.model(message.name, message.version))
    return service.statistics()


ANSWERS: dict[str, Answer] = {
    "ServerLive": lambda service, message: {"live": True},
    "ServerReady": lambda service, message: {"ready": service.is_ready()},
    "ModelReady": _model_ready,
    "ServerMetadata": lambda service, message: service.server(),
    "ModelMetadata": lambda service, message: service.metadata(service.model(message.name, message.version)),
    "ModelConfig": lambda service, message: {
        "config": service.configuration(service.model(message.name, message.version))
    },
    "ModelStatistics": _statistics,
    "RepositoryIndex": lambda service, message: {"models": service.index(ready=message.ready)},
}

OPEN = frozenset({"ServerLive", "ServerReady"})
"""Answered without a key: whoever restarts the server knows none; and without the message, in which nothing is."""
