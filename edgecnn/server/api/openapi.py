"""Build the server's OpenAPI 3.1 document from the template `openapi.json`, its options and its models.

A string `"{{name}}"` in the template is replaced with a value of any type; within a longer string, with its text. The
schemas accept every request that the server accepts. Objects in responses are closed: a new field needs an entry in the
template.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from edgecnn import __version__
from edgecnn.bundle.formats import listed, media_type
from edgecnn.protocol.datatypes import KNOWN
from edgecnn.protocol.header import MAX_ID
from edgecnn.server.api.service import Service
from edgecnn.server.http.content import ACCEPTED
from edgecnn.server.models.model import Model

PATH = "/openapi.json"

_TEMPLATE = Path(__file__).with_suffix(".json").read_bytes()
_VALUE = re.compile(r"\{\{(\w+)\}\}")
_MAX_EXAMPLE = 4096
"""Maximum count of numbers in an example; a photograph would make the document a hundred times longer."""
_COMMON_ERRORS = ("400", "408", "413", "431", "503")
"""Statuses of every operation: the connection sends them for a request that it cannot read."""

Values = dict[str, Any]


def document(service: Service, *, max_body_bytes: int, small_body_bytes: int) -> dict[str, Any]:
    """Return the current OpenAPI document; inference bodies have `max_body_bytes`, other bodies `small_body_bytes`."""
    template = orjson.loads(_TEMPLATE)
    models = tuple(service.models.values())
    names = [model.name for model in models]
    values = {
        "server_version": __version__,
        "max_body_bytes": max_body_bytes,
        "small_body_bytes": small_body_bytes,
        "codings": ACCEPTED,
        "datatypes": sorted(KNOWN),
        "max_id": MAX_ID,
        "names": names,
        "name_examples": {name: {"value": name} for name in names},
        "numbers": [str(number) for number in sorted({model.number for model in models if model.number})],
    }
    of_models = [(model, values | _model_values(model)) for model in models]
    components = template["components"]
    schemas = components.pop("schemas")
    found: dict[str, Any] = _filled({key: part for key, part in template.items() if key != "paths"}, values)
    found["components"]["schemas"] = dict(_schemas(schemas, values, of_models))
    found["paths"] = dict(_paths(template["paths"], values, of_models))
    for item in found["paths"].values():
        for method, operation in item.items():
            if method != "parameters":
                _complete(operation, needs_key=service.needs_key)
    if service.load_queue is None:
        _forbid_control(found["paths"])
    if service.explainers is None:
        _forbid_explaining(found["paths"])
    if not service.needs_key:
        del found["security"], found["components"]["securitySchemes"]
    return found


def _schemas(schemas: Values, values: Values, models: list[tuple[Model, Values]]) -> Iterator[tuple[str, Any]]:
    """Yield the shared schemas and the schemas of each ready model."""
    for name, schema in schemas.items():
        if "{{name}}" not in name:
            yield name, _filled(schema, values)
        else:
            for model, of_model in models:
                if model.number:
                    yield _filled(name, of_model), _filled(schema, of_model)


def _paths(paths: Values, values: Values, models: list[tuple[Model, Values]]) -> Iterator[tuple[str, Any]]:
    """Yield the paths. A path with an optional version appears twice: without and with the version."""
    plain = {"version_path": "", "of_version": ""}
    for path, item in paths.items():
        if "{{name}}" in path:
            for model, of_model in models:
                of_number = {"version_path": f"/versions/{model.number}", "of_version": f"-{model.number}"}
                for version in (plain, of_number) if model.number else (plain,):
                    yield _filled(path, of_model | version), _inference(item, model, of_model | version)
        else:
            yield _filled(path, plain), _filled(item, values | plain)
            if "{{version_path}}" in path and values["numbers"]:
                version = {"version_path": "/versions/{version}", "of_version": "-of-version"}
                numbered = _filled(item, values | version)
                numbered["parameters"].append({"$ref": "#/components/parameters/Version"})
                yield _filled(path, version), numbered


def _inference(item: Values, model: Model, values: Values) -> Values:
    """Return the inference path of a model; without request and result if the model is not ready."""
    operation: Values = item["post"]
    if not model.number:
        summary = f"Run inference with {model.name}, which is not ready."
        responses = {status: each for status, each in operation["responses"].items() if status != "200"}
        operation = {key: operation[key] for key in ("operationId", "tags")}
        operation |= {"summary": summary, "responses": responses}
    filled: Values = _filled(item | {"post": operation}, values)
    if model.number:
        filled["post"]["requestBody"]["content"] |= {media_type(each): {} for each in model.bounds.formats}
    if values.get("image_bytes", 0) > _MAX_EXAMPLE:
        del filled["post"]["requestBody"]["content"]["application/json"]["examples"]
    return filled


def _complete(operation: Values, *, needs_key: bool) -> None:
    """Add the responses and the header that all operations share."""
    responses = operation["responses"]
    errors: tuple[str, ...] = _COMMON_ERRORS
    if not needs_key:
        operation.pop("security", None)
    elif "security" not in operation:
        errors = (*errors, "401")
    for status in errors:
        responses[status] = {"$ref": f"#/components/responses/{status}"}
    if "200" in responses:
        answer_id = {"X-Request-ID": {"$ref": "#/components/headers/Answer.X-Request-ID"}}
        responses["200"]["headers"] = answer_id | responses["200"].get("headers", {})


def _forbid_control(paths: Values) -> None:
    """Describe the load and unload operations of a server without --model-control."""
    for action in ("load", "unload"):
        operation = paths[f"/v2/repository/models/{{model}}/{action}"]["post"]
        operation["summary"] = f"{action.capitalize()} a model; not allowed without --model-control."
        del operation["requestBody"], operation["responses"]["200"], operation["responses"]["404"]


def _forbid_explaining(paths: Values) -> None:
    """Describe the explanations of a server without --explain."""
    for path, item in paths.items():
        if path.endswith("/explain"):
            operation = item["post"]
            operation["summary"] = "Explain an image; not allowed without --explain."
            operation["responses"]["403"] = {"$ref": "#/components/responses/403"}
            del operation["requestBody"], operation["parameters"], operation["responses"]["200"]


def _model_values(model: Model) -> Values:
    """Return the template values of one model; only the name if it is not ready."""
    if not model.number:
        return {"name": model.name}
    version = model.version
    ((pixels, files),) = version.accepted.values()
    (output,) = version.outputs.values()
    batch, sizes = version.bounds.max_batch, pixels.shape[1:]
    count = math.prod(sizes)
    nested: Values = {"type": "integer", "minimum": 0, "maximum": 255}
    for size in reversed(sizes):
        nested = {"type": "array", "items": nested, "minItems": size, "maxItems": size}
    example = {"name": pixels.name, "datatype": pixels.datatype, "shape": [1, *sizes]}
    return {
        "name": model.name,
        "number": str(version.number),
        "input": pixels.name,
        "datatype": pixels.datatype,
        "pixels": pixels,
        "files": files,
        "rank": 1 + len(sizes),
        "sizes": [{"type": "integer", "minimum": 1, "maximum": batch}, *({"const": size} for size in sizes)],
        "nested": nested,
        "image_bytes": count,
        "batch_bytes": batch * count,
        "max_batch": batch,
        "max_pixels": version.bounds.max_pixels,
        "formats": listed(version.bounds.formats),
        "max_json_bytes": version.max_json_bytes,
        "output": output.name,
        "classes": output.shape[1],
        "example_inputs": [example | {"data": [0] * min(count, _MAX_EXAMPLE)}],
    }


def _filled(node: Any, values: Values) -> Any:
    """Return a part of the template with its values filled in."""
    if isinstance(node, dict):
        return {_filled(key, values): _filled(part, values) for key, part in node.items()}
    if isinstance(node, list):
        return [_filled(part, values) for part in node]
    if not isinstance(node, str):
        return node
    whole = _VALUE.fullmatch(node)
    return values[whole[1]] if whole else _VALUE.sub(lambda found: str(values[found[1]]), node)
