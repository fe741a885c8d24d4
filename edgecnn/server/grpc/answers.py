"""Responses of all calls except inference and control, and status codes of errors."""

from collections.abc import Callable
from typing import Any

from grpc import StatusCode

from edgecnn.protocol.refusal import Reason, Refusal
from edgecnn.server.api.descriptions import configuration, metadata
from edgecnn.server.api.service import Service

CODES: dict[Reason, StatusCode] = {
    "invalid": StatusCode.INVALID_ARGUMENT,
    "unauthorized": StatusCode.UNAUTHENTICATED,
    "forbidden": StatusCode.PERMISSION_DENIED,
    "not_found": StatusCode.NOT_FOUND,
    "method": StatusCode.UNIMPLEMENTED,
    "slow": StatusCode.DEADLINE_EXCEEDED,
    "too_large": StatusCode.RESOURCE_EXHAUSTED,
    "unsupported": StatusCode.INVALID_ARGUMENT,
    "busy": StatusCode.UNAVAILABLE,  # clients retry this status automatically
    "unready": StatusCode.UNAVAILABLE,
    "late": StatusCode.DEADLINE_EXCEEDED,
    "engine": StatusCode.INTERNAL,
}

OPEN = frozenset({"ServerLive", "ServerReady"})
"""Calls without authentication, because orchestrators have no API key. Their message is empty and ignored."""


def _model_ready(service: Service, message: Any) -> dict[str, Any]:
    """Return whether a model is ready; false if it does not exist."""
    try:
        service.check_model_ready(service.model(message.name, message.version))
    except Refusal:
        return {"ready": False}
    return {"ready": True}


def _statistics(service: Service, message: Any) -> dict[str, Any]:
    if message.name:
        return service.statistics(service.model(message.name, message.version))
    return service.statistics()


ANSWERS: dict[str, Callable[[Service, Any], dict[str, Any]]] = {
    "ServerLive": lambda service, message: {"live": True},
    "ServerReady": lambda service, message: {"ready": service.is_ready()},
    "ModelReady": _model_ready,
    "ServerMetadata": lambda service, message: service.server(),
    "ModelMetadata": lambda service, message: metadata(service.model(message.name, message.version)),
    "ModelConfig": lambda service, message: {"config": configuration(service.model(message.name, message.version))},
    "ModelStatistics": _statistics,
    "RepositoryIndex": lambda service, message: {"models": service.index(ready=message.ready)},
}
"""Functions that return the response of a call from its message, which is None for the calls in `OPEN`."""
