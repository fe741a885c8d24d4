"""The document: every path of this server, with the models that it serves now.

It says nothing that is not so of this server, and holds nothing that a client may not know anyway.
"""

from collections.abc import Iterator
from typing import Any

from edgecnn import __version__
from edgecnn.protocol.http_headers import REQUEST_ID
from edgecnn.server.api.openapi import inference
from edgecnn.server.api.openapi.answers import answered, errors, headers, refused
from edgecnn.server.api.openapi.schemas import PAGES, Schema, reference
from edgecnn.server.api.service import Service
from edgecnn.server.models.model import Model

PATH = "/openapi.json"

_DESCRIPTION = (
    "Answers by the Open Inference Protocol v2, with Triton's binary tensors and classification. HEAD is answered "
    "where GET is; every other method that is not listed is 405, with Allow. Bodies may be compressed, gzip or "
    'deflate, both ways. Errors are `{{"error": "…"}}`. Bodies of what is no inference request have at '
    "most {small} bytes."
)
_SECURITY: dict[str, Schema] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_MODEL_PAGES = (
    ("", "metadata", "Metadata", "Name, versions, inputs and outputs."),
    ("/ready", "ready", "ModelReady", "Whether it answers."),
    ("/config", "config", "Configuration", "Triton's model configuration."),
    ("/card", "card", "Card", "What it is, what was proven of it, and what runs it here."),
    ("/stats", "stats", "Statistics", "What has happened to its requests since it was loaded."),
)
"""Path behind the model's, name, schema, and what it is."""


class _Author:
    """Writes the document of one server."""

    def __init__(self, service: Service, *, max_body_bytes: int, small_body_bytes: int) -> None:
        self._service = service
        self._max_body_bytes = max_body_bytes
        self._small_body_bytes = small_body_bytes
        self._locked = (401,) if service.needs_key else ()
        self._models = tuple(service.models.values())
        self._numbers = sorted({model.number for model in self._models if model.number}, key=int)

    def document(self) -> dict[str, Any]:
        info = {
            "title": "edgecnn",
            "version": __version__,
            "description": _DESCRIPTION.format(small=self._small_body_bytes),
        }
        document: dict[str, Any] = {
            "openapi": "3.1.0",
            "info": info,
            "servers": [{"url": "/"}],  # whatever name, port and scheme it was asked under
            "paths": dict(self._paths()),
            "components": self._components(),
        }
        if self._service.needs_key:
            document["security"] = [{name: []} for name in _SECURITY]
        return document

    def _components(self) -> dict[str, Any]:
        schemas = dict(PAGES)
        for model in self._models:
            if model.number:
                schemas |= inference.schemas(model.name, model.version)
        components: dict[str, Any] = {
            "schemas": schemas,
            "headers": headers(),
            "responses": errors(),
            "parameters": self._parameters(),
        }
        return components | ({"securitySchemes": _SECURITY} if self._service.needs_key else {})

    def _parameters(self) -> dict[str, Schema]:
        names = [model.name for model in self._models]
        return {
            "RequestId": {
                "name": REQUEST_ID,
                "in": "header",
                "description": "Comes back where it is printable ASCII of at most 128 characters.",
                "schema": {"type": "string"},
                "example": "4bf92f3577b34da6",
            },
            "Model": _in_path("model", "What is served.", {"enum": names}),
            "Version": _in_path("version", "The one that the model has now.", {"enum": self._numbers}),
            "Name": _in_path("model", "Of what stands in the folders that are served.", {"minLength": 1})
            | {"examples": {name: {"value": name} for name in names}},
        }

    def _paths(self) -> Iterator[tuple[str, Schema]]:
        yield "/v2", self._page("get", "server", "Server", "Name, version and extensions.")
        yield "/v2/health/live", self._open("live", "Live", "Whether this process answers.")
        yield "/v2/health/ready", self._open("ready", "Ready", "Whether requests will be answered.")
        yield "/v2/models/stats", self._page("get", "stats", "Statistics", "Statistics of all models.")
        for version in ("", *(("/versions/{version}",) if self._numbers else ())):
            for path, name, schema, summary in _MODEL_PAGES:
                what = f"model-{name}" + ("-of-version" if version else "")
                item = self._page("get", what, schema, summary, 404)
                item["parameters"] += [_parameter("Model"), *([_parameter("Version")] if version else [])]
                yield f"/v2/models/{{model}}{version}{path}", item
        for model in self._models:
            yield from self._infer(model)
        yield "/v2/repository/index", self._index()
        for action in ("load", "unload"):
            yield f"/v2/repository/models/{{model}}/{action}", self._control(action)
        yield "/metrics", self._metrics()
        yield PATH, self._page("get", "openapi", "Document", "This document.")

    def _page(self, method: str, name: str, schema: str, summary: str, *statuses: int) -> Schema:
        result = answered(summary, {"application/json": {"schema": reference(schema)}})
        responses = result | refused(*statuses, *self._locked)
        return _item(method, {"operationId": name, "summary": summary, "responses": responses})

    def _index(self) -> Schema:
        item = self._page("post", "index", "Index", "Models, their states, and why one does not answer.")
        body = {"type": "object", "properties": {"ready": {"type": "boolean", "description": "Only those that are."}}}
        item["post"]["requestBody"] = {"content": {"application/json": {"schema": body}}}
        return item

    def _open(self, name: str, schema: str, summary: str) -> Schema:
        """Describe a page that nobody needs a key for."""
        result = answered(summary, {"application/json": {"schema": reference(schema)}})
        operation: Schema = {"operationId": name, "summary": summary, "responses": result | refused()}
        return _item("get", operation | ({"security": []} if self._service.needs_key else {}))

    def _metrics(self) -> Schema:
        result = answered("In Prometheus's text format.", {"text/plain": {"schema": {"type": "string"}}})
        responses = result | refused(*self._locked)
        return _item("get", {"operationId": "metrics", "summary": "For Prometheus.", "responses": responses})

    def _infer(self, model: Model) -> Iterator[tuple[str, Schema]]:
        """Describe a model's inference, once for each of its paths: no two models take the same."""
        version = model.version if model.number else None
        operation = inference.operation(model.name, version, max_body_bytes=self._max_body_bytes, extra=self._locked)
        yield f"/v2/models/{model.name}/infer", _item("post", {"operationId": f"infer-{model.name}"} | operation)
        if version is not None:
            path = f"/v2/models/{model.name}/versions/{version.number}/infer"
            yield path, _item("post", {"operationId": f"infer-{model.name}-{version.number}"} | operation)

    def _control(self, action: str) -> Schema:
        if self._service.orders is None:
            summary = f"To {action} a model; refused, since the server was started without --model-control."
            operation: Schema = {"summary": summary, "responses": refused(403, *self._locked)}
        else:
            parameters = {
                "type": "object",
                "description": "What is loaded stands on the server and nowhere else.",
                "properties": {"unload_dependents": {}},
                "additionalProperties": False,
            }
            body = {"type": "object", "properties": {"parameters": parameters}}
            result = answered("What the model is now.", {"application/json": {"schema": reference("Entry")}})
            operation = {
                "summary": f"{action.capitalize()} a model; answered when that is done.",
                "requestBody": {"content": {"application/json": {"schema": body}}},
                "responses": result | refused(403, 404, *self._locked),
            }
        item = _item("post", {"operationId": action} | operation)
        item["parameters"].append(_parameter("Name"))
        return item


def document(service: Service, *, max_body_bytes: int, small_body_bytes: int) -> dict[str, Any]:
    """Describe a server as it is now, in OpenAPI 3.1.

    Args:
        service: what it answers.
        max_body_bytes: of an inference request.
        small_body_bytes: of any other.
    """
    return _Author(service, max_body_bytes=max_body_bytes, small_body_bytes=small_body_bytes).document()


def _item(method: str, operation: Schema) -> Schema:
    return {"parameters": [_parameter("RequestId")], method: operation}


def _parameter(name: str) -> Schema:
    return {"$ref": f"#/components/parameters/{name}"}


def _in_path(name: str, description: str, schema: Schema) -> Schema:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string"} | schema,
    }
