"""NVIDIA's clients for HTTP and gRPC behind one interface."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.http
from server_process import Server
from transports import KINDS
from tritonclient.utils import InferenceServerException


class Triton:
    """The client of one protocol, "http" or "grpc"."""

    def __init__(self, protocol: str, server: Server) -> None:
        self.is_http = protocol == "http"
        self.module = tritonclient.http if self.is_http else tritonclient.grpc
        address = f"127.0.0.1:{server.port}" if self.is_http else server.grpc_address
        self.client = self.module.InferenceServerClient(address)
        self.server = server

    def plain(self, call: str, *arguments: Any) -> Any:
        """Return a response as JSON."""
        return getattr(self.client, call)(*arguments, **({} if self.is_http else {"as_json": True}))

    def given(self, array: np.ndarray, datatype: str, **options: Any) -> list[Any]:
        """Return the inputs of a request."""
        given = self.module.InferInput("image", list(array.shape), datatype)
        given.set_data_from_numpy(array, **options)
        return [given]

    def infer(self, images: np.ndarray, *, name: str | None = None, classes: int | None = None, **options: Any) -> Any:
        """Send pixels, or files in an array of objects."""
        if classes is not None:
            options["outputs"] = [self.module.InferRequestedOutput("logits", class_count=classes)]
        datatype = "BYTES" if images.dtype == np.object_ else "UINT8"
        return self.client.infer(name or self.server.name, self.given(images, datatype), **options)

    def index(self) -> Any:
        """Return the entries of the repository index."""
        index = self.plain("get_model_repository_index")
        return index if self.is_http else index["models"]

    def response(self, result: Any, field: str) -> Any:
        """Return a field of the response."""
        return result.get_response()[field] if self.is_http else getattr(result.get_response(), field)


def files(*contents: bytes) -> np.ndarray:
    """Return image files as an input."""
    return np.array(contents, np.object_)


def error_of(call: Callable[[], Any]) -> tuple[str, str]:
    """Check that the client raises an error; return its kind and text."""
    try:
        call()
    except InferenceServerException as error:
        return KINDS[error.status().removeprefix("StatusCode.")], error.message()
    raise AssertionError("expected an InferenceServerException, but the call was answered")
