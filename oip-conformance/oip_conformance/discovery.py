"""Finds the model under test and checks that it answers a valid request."""

import math
from typing import Any
from urllib.parse import quote

from oip_conformance import tensors
from oip_conformance.answer import Answer, NoAnswer, NoConnection, one_line, strict_json
from oip_conformance.connection import Client
from oip_conformance.deviation import Deviation
from oip_conformance.errors import ConformanceError, UsageError
from oip_conformance.expecting import document_of, succeeded
from oip_conformance.inferred import shape_of
from oip_conformance.subject import Subject
from oip_conformance.tensors import TensorSpec

_MOST_ELEMENTS = 1 << 24


def discover(client: Client, model: str | None = None) -> Subject:
    """Find the server and the model under test.

    Args:
        client: of the server.
        model: its name; None for the only model that is ready.

    Raises:
        UsageError: several models are ready and `model` is None.
        ConformanceError: no server answers, the model does not exist, or it does not answer a valid request.
    """
    try:
        client.ask("GET", "/v2/health/live")
    except NoAnswer as error:
        hint = "" if client.address.is_encrypted else "; if the server uses TLS, change the URL to https://"
        if isinstance(error, NoConnection):
            hint = "; check that the server is running"
        raise ConformanceError(
            f"no server answers at {client.address.authority}: expected HTTP, found {error}{hint}"
        ) from None
    try:
        return _discovered(client, model)
    except NoAnswer as error:
        raise ConformanceError(f"the server does not answer requests about its models: found {error}") from None


def _discovered(client: Client, model: str | None) -> Subject:
    server, extensions = _server(client)
    name = model or _only_model(client)
    answer = client.ask("GET", "/v2/models/" + quote(name, safe="", errors="replace"))
    try:
        metadata = document_of(answer)
        inputs, outputs = _specs(metadata, "inputs"), _specs(metadata, "outputs")
    except Deviation as error:
        raise ConformanceError(
            f"the metadata of model {name!r} cannot be used: {error}{_hint(client, answer)}"
        ) from None
    versions = metadata.get("versions")
    version = versions[-1] if isinstance(versions, list) and versions and isinstance(versions[-1], str) else None
    subject = Subject(client, server, extensions, name, version or None, inputs, outputs)
    try:
        return subject.with_golden()
    except Deviation as error:
        raise ConformanceError(
            f"model {name!r} does not answer a valid request, which all cases need: POST {subject.path}/infer: {error}"
        ) from None


def _server(client: Client) -> tuple[str, frozenset[str]]:
    """Return the name and the extensions of the server; none if its metadata are invalid (a case checks them)."""
    try:
        document = document_of(client.ask("GET", "/v2"))
    except Deviation:
        return "a server without a name", frozenset()
    extensions = document.get("extensions")
    known = extensions if isinstance(extensions, list) else []
    name = one_line(" ".join(str(document.get(key, "")) for key in ("name", "version")))[:80]
    return name, frozenset(one_line(each) for each in known if isinstance(each, str))


def _only_model(client: Client) -> str:
    """Return the only model that is ready.

    Raises:
        UsageError: several models are ready.
        ConformanceError: none is ready, or the server does not list its models.
    """
    fields = {"Content-Type": "application/json"}
    answer = client.ask("POST", "/v2/repository/index", b"{}", fields)
    try:
        succeeded(answer)
        index = strict_json(answer.body)
    except Deviation as error:
        raise ConformanceError(
            f"the server does not list its models ({error}): name one with --model{_hint(client, answer)}"
        ) from None
    entries: list[Any] = index if isinstance(index, list) else []
    ready = sorted(
        {str(each.get("name")) for each in entries if isinstance(each, dict) and each.get("state") == "READY"}
    )
    if len(ready) != 1:
        found = f"{len(ready)} are ready: {one_line(', '.join(ready[:8]))}" if ready else "none is ready"
        kind = UsageError if ready else ConformanceError
        raise kind(f"expected one ready model, {found}{': name one with --model' if ready else ''}")
    return ready[0]


def _hint(client: Client, answer: Answer) -> str:
    if answer.status not in (401, 403):
        return ""
    return "; check the key in --api-key-file" if client.has_key else "; give the API key with --api-key-file"


def _specs(metadata: dict[str, Any], key: str) -> tuple[TensorSpec, ...]:
    """Parse the inputs or outputs in the metadata of a model.

    Raises:
        Deviation: the suite cannot build requests from them.
    """
    listed = metadata.get(key)
    if not isinstance(listed, list) or not listed:
        raise Deviation(f"a list of {key}", f"{listed!r:.60}")
    return tuple(_spec(each, key) for each in listed)


def _spec(entry: Any, key: str) -> TensorSpec:
    if not isinstance(entry, dict):
        raise Deviation(f"{key} that are objects", f"{entry!r:.60}")
    name, datatype, shape = entry.get("name"), entry.get("datatype"), entry.get("shape")
    if not isinstance(name, str) or datatype not in tensors.DTYPES:
        raise Deviation(f"a name and a datatype of the protocol's table in {key}", f"{name!r:.40}, {datatype!r:.40}")
    closed = [1 if size == -1 else size for size in shape] if isinstance(shape, list) else None
    if not isinstance(shape, list) or shape_of(closed) is None:
        raise Deviation(f"a shape of integers for {name!r}", f"{shape!r:.60}")
    spec = TensorSpec(name, datatype, tuple(shape))
    if math.prod(spec.sized()) > _MOST_ELEMENTS:
        raise Deviation(f"at most {_MOST_ELEMENTS} elements in {name!r}", f"the shape {shape!r:.60}")
    return spec
