"""The server and the model under test: their metadata, valid requests, and the golden answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from oip_conformance import tensors
from oip_conformance.answer import Answer
from oip_conformance.connection import Client
from oip_conformance.deviation import Deviation, NotApplicable
from oip_conformance.inferred import LENGTH, Inferred, inferred
from oip_conformance.tensors import TensorSpec


@dataclass(frozen=True)
class Subject:
    """The subject of the cases.

    Attributes:
        client: of the server.
        server: its name and version from its metadata.
        extensions: that the server lists.
        model: its name.
        version: of the model; None if the server declares none.
        inputs: of the model, from its metadata.
        outputs: of the model, from its metadata.
        golden: the answer to `good()`; None before `with_golden`.
        is_repeatable: whether two equal requests got the same answer.
    """

    client: Client
    server: str
    extensions: frozenset[str]
    model: str
    version: str | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    golden: Inferred | None = None
    is_repeatable: bool = True

    # Paths and properties

    @property
    def path(self) -> str:
        """The path of the model."""
        return "/v2/models/" + quote(self.model, safe="", errors="replace")

    @property
    def versioned(self) -> str:
        """The path of the version.

        Raises:
            NotApplicable: the server declares none.
        """
        if self.version is None:
            raise NotApplicable("the server declares no version of the model")
        return f"{self.path}/versions/" + quote(self.version, safe="", errors="replace")

    @property
    def is_batched(self) -> bool:
        """Whether axis 0 of every input and output is variable."""
        return all(spec.shape[:1] == (-1,) for spec in (*self.inputs, *self.outputs))

    @property
    def has_json(self) -> bool:
        """Whether JSON can represent all inputs and outputs."""
        return not any(spec.datatype in tensors.WITHOUT_JSON for spec in (*self.inputs, *self.outputs))

    # Requests

    def get(self, path: str, headers: Mapping[str, str | None] | None = None) -> Answer:
        """Send a GET request."""
        return self.client.ask("GET", path, None, headers)

    def post(self, document: Any, headers: Mapping[str, str | None] | None = None, *, path: str = "") -> Answer:
        """Send a document as JSON, or bytes, to the model or to another path."""
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        fields: Mapping[str, str | None] = {"Content-Type": "application/json", **(headers or {})}
        return self.client.ask("POST", path or f"{self.path}/infer", content, fields)

    def document(self, batch: int = 1, **changes: Any) -> dict[str, Any]:
        """Return a valid request in JSON, with changes to its top level.

        Raises:
            NotApplicable: JSON cannot represent the model's tensors.
        """
        if not self.has_json:
            raise NotApplicable("JSON cannot represent FP16 and BF16")
        inputs = [_described(spec, batch) | {"data": tensors.to_json(spec.sample(batch))} for spec in self.inputs]
        return {"inputs": inputs} | changes

    def changed(self, **changes: Any) -> dict[str, Any]:
        """Return a valid request in JSON, with changes to its first input; `...` removes a key."""
        document = self.document()
        entry = document["inputs"][0] | changes
        document["inputs"][0] = {key: value for key, value in entry.items() if value is not ...}
        return document

    def raw(self, batch: int = 1) -> bytes:
        """Return the raw bytes of all inputs."""
        return b"".join(tensors.to_raw(spec.sample(batch)) for spec in self.inputs)

    def binary_document(self, batch: int = 1, **changes: Any) -> dict[str, Any]:
        """Return the JSON of a valid request for the tensors in `raw`, with changes to its top level."""
        inputs = [
            _described(spec, batch) | {"parameters": {"binary_data_size": len(tensors.to_raw(spec.sample(batch)))}}
            for spec in self.inputs
        ]
        return {"parameters": {"binary_data_output": True}, "inputs": inputs} | changes

    def post_binary(
        self,
        document: Any,
        raw: bytes | None = None,
        *,
        length: str | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """Send JSON and the raw tensors behind it.

        Args:
            document: the JSON or its bytes.
            raw: the bytes behind the JSON; None for a valid batch of one.
            length: of the JSON in the header; None for the correct one.
            headers: additional ones; None removes a header.
        """
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        fields: dict[str, str | None] = {
            "Content-Type": "application/octet-stream",
            LENGTH: str(len(content)) if length is None else length,
        }
        return self.client.ask(
            "POST", f"{self.path}/infer", content + (self.raw() if raw is None else raw), fields | dict(headers or {})
        )

    def good(self) -> Answer:
        """Send a valid request, in JSON where JSON can represent the tensors, else raw."""
        return self.post(self.document()) if self.has_json else self.post_binary(self.binary_document())

    # Answers

    def same(self, answer: Answer) -> Inferred:
        """Check that an answer is equal to the golden answer; return it.

        Raises:
            Deviation: it is not.
            NotApplicable: the model answers the same request differently each time.
        """
        result = inferred(answer)
        if not self.is_repeatable:
            raise NotApplicable("the model answers the same request differently each time")
        assert self.golden is not None
        if set(result.outputs) != set(self.golden.outputs):
            raise Deviation(f"the outputs {sorted(self.golden.outputs)}", f"{sorted(result.outputs)}")
        for name, output in result.outputs.items():
            if not tensors.are_equal(output.values, self.golden.outputs[name].values):
                raise Deviation(f"the same {name!r} as in the golden answer", "other values, or another shape")
        return result

    def with_golden(self) -> "Subject":
        """Send the valid request twice and store its answer.

        Raises:
            Deviation: the answer is not a valid inference.
            NoAnswer: the server sends no answer.
        """
        first, second = inferred(self.good()), inferred(self.good())
        is_repeatable = first.outputs.keys() == second.outputs.keys() and all(
            tensors.are_equal(output.values, second.outputs[name].values) for name, output in first.outputs.items()
        )
        version = first.document.get("model_version")
        return replace(
            self,
            golden=first,
            is_repeatable=is_repeatable,
            version=self.version or (version if isinstance(version, str) and version else None),
        )


def _described(spec: TensorSpec, batch: int) -> dict[str, Any]:
    return {"name": spec.name, "shape": list(spec.sized(batch)), "datatype": spec.datatype}
