"""A Ray Serve deployment of a bundle, with the Open Inference Protocol of `edgecnn serve`."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edgecnn import __version__
from edgecnn.batch.computing import proven_classifier
from edgecnn.bundle.formats import SERVED, SIGNATURE_BYTES, identify, listed
from edgecnn.bundle.store import Bundle
from edgecnn.errors import ImageError, ImageTooLarge
from edgecnn.prediction import probabilities_of
from edgecnn.protocol.http_headers import BUNDLE_DIGEST, HEADER_LENGTH
from edgecnn.protocol.image_body import Wanted, of_an_image, wanted_by
from edgecnn.protocol.matching import logits_of, pixels_or_files
from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.request import InferRequest, parse
from edgecnn.protocol.response import encode
from edgecnn.ray.shipping import files_of, received
from edgecnn.runtime.classifier import resolve
from edgecnn.runtime.engines.registry import choose_engine
from edgecnn.runtime.setting import Setting

if TYPE_CHECKING:
    from ray.serve import Application

_MAX_BATCH = 32
"""Images of one request, as in `edgecnn serve`."""


def deployment(
    bundle: str | Path | Bundle,
    *,
    name: str | None = None,
    engine: str = "auto",
    threads: int = 1,
    min_replicas: int = 1,
    max_replicas: int = 1,
    max_requests: int = 8,
    max_delay_s: float = 0.005,
) -> "Application":
    """Return a Ray Serve application that serves a bundle; start it with `serve.run`.

    It answers the Open Inference Protocol's health, metadata and inference requests with the same JSON as `edgecnn
    serve`. Images may be sent as pixels, BYTES tensors or files. Authentication, gRPC, metrics and limits of memory are
    not included: use those of Ray Serve, or `edgecnn serve`.

    Args:
        bundle: a bundle or its folder. Each replica receives it and runs its self-test before its first request.
        name: name of the model in URLs. The default is the bundle's name.
        engine: `auto`, `onnxruntime` or `openvino`.
        threads: threads of one run, and the cores that Ray reserves for a replica.
        min_replicas: smallest number of replicas.
        max_replicas: largest number of replicas. Ray starts them as requests wait.
        max_requests: largest number of requests that run as one batch.
        max_delay_s: longest time that a request waits for others, in seconds.

    Raises:
        BundleError: the bundle is not intact.
        EngineError: the engine is not available.
    """
    opened = resolve(bundle, "latency")
    setting = Setting(engine=choose_engine(engine, "cpu").name, threads=threads, batch=max_requests)
    served: Any = serve.deployment(
        Replica,
        name=name or opened.manifest.name,
        ray_actor_options={"num_cpus": threads},
        autoscaling_config={"min_replicas": min_replicas, "max_replicas": max_replicas},
        max_ongoing_requests=4 * max_requests,
    )
    batching = {"max_batch_size": max_requests, "batch_wait_timeout_s": max_delay_s}
    application: Application = served.bind(
        name or opened.manifest.name, opened.digest, files_of(opened), setting, batching
    )
    return application


class Replica:
    """One classifier that answers HTTP requests."""

    def __init__(
        self, name: str, digest: str, files: dict[str, bytes], setting: Setting, batching: dict[str, Any]
    ) -> None:
        self._name = name
        self._classifier = proven_classifier(received(digest, files), setting)
        self._manifest = self._classifier.bundle.manifest
        self._accepted = pixels_or_files(self._manifest.input.name, self._manifest.image_shape)
        self._outputs = logits_of(self._manifest.output.name, len(self._manifest.labels))
        self._documents: dict[str, Any] = {
            "": {"name": "edgecnn", "version": __version__, "extensions": ["binary_tensor_data", "classification"]},
            "/health/live": {"live": True},
            "/health/ready": {"ready": True},
            f"/models/{name}/ready": {"name": name, "ready": True},
            f"/models/{name}": self._metadata(),
        }
        run: Any = self._run
        run.set_max_batch_size(batching["max_batch_size"])
        run.set_batch_wait_timeout_s(batching["batch_wait_timeout_s"])

    async def __call__(self, request: Request) -> Response:
        """Answer a request of the protocol."""
        try:
            return await self._answered(request)
        except Refusal as refusal:
            headers = {} if refusal.retry_after_s is None else {"Retry-After": str(refusal.retry_after_s)}
            return JSONResponse({"error": str(refusal)}, refusal.status, headers | dict(refusal.headers))

    @serve.batch
    async def _run(self, images: list[np.ndarray]) -> list[np.ndarray]:
        """Run the images of several requests, uint8 [N, H, W, C] each, as one batch."""
        logits = await asyncio.to_thread(self._classifier.logits, np.concatenate(images))
        return np.split(logits, np.cumsum([len(each) for each in images])[:-1])

    async def _answered(self, request: Request) -> Response:
        _, found, path = request.url.path.partition("/v2")
        if request.method == "POST" and path == f"/models/{self._name}/infer":
            return await self._inferred(request)
        if not found or path not in self._documents:
            raise Refusal("not_found", f"no such path: {request.url.path}; the model is {self._name}")
        if request.method != "GET":
            raise Refusal("method", f"expected GET, found {request.method}", headers=(("Allow", "GET"),))
        return JSONResponse(self._documents[path])

    async def _inferred(self, request: Request) -> Response:
        body = await request.body()
        if not body:
            raise Refusal("invalid", "request body is empty")
        understood = self._parsed(body, request)
        (given,) = understood.inputs.values()
        images = given if isinstance(given, np.ndarray) else await asyncio.to_thread(self._decoded, given)
        logits = await self._run(images)
        content, length = encode(
            understood,
            {each.name: self._probabilities(logits) if each.is_probability else logits for each in understood.outputs},
            model_name=self._name,
            model_version="1",
            labels=self._manifest.labels,
            ranking=logits,
        )
        headers = {BUNDLE_DIGEST: self._classifier.bundle.digest}
        if length is None:
            return Response(content, media_type="application/json", headers=headers)
        headers[HEADER_LENGTH] = str(length)
        return Response(content, media_type="application/octet-stream", headers=headers)

    def _probabilities(self, logits: np.ndarray) -> np.ndarray:
        return probabilities_of(logits, self._manifest.scores).astype(np.float32)

    def _parsed(self, body: bytes, request: Request) -> InferRequest:
        wanted = wanted_by(request.url.query) if request.url.query else Wanted()
        if request.headers.get("content-type", "").lower().startswith("image/"):
            return of_an_image(body, accepted=self._accepted, outputs=self._outputs, wanted=wanted)
        return parse(
            body,
            request.headers.get(HEADER_LENGTH),
            accepted=self._accepted,
            outputs=self._outputs,
            max_batch=_MAX_BATCH,
            probabilities=wanted.probabilities,
        )

    def _decoded(self, files: tuple[bytes, ...]) -> np.ndarray:
        """Decode image files to uint8 [N, H, W, C].

        Raises:
            Refusal: a file cannot be decoded.
        """
        return np.stack([self._image(file) for file in files])

    def _image(self, file: bytes) -> np.ndarray:
        """Decode an image file, with the refusals of `edgecnn serve`."""
        expected = f"expected a {listed(SERVED)} image"
        if not file:
            raise Refusal("invalid", f"{expected}, found an empty file")
        kind = identify(file[:SIGNATURE_BYTES])
        if kind is not None and kind not in SERVED:
            raise Refusal("unsupported", f"{expected}, found {kind}")
        try:
            image = self._manifest.preprocessing.image(file, formats=SERVED)
        except ImageTooLarge as error:
            raise Refusal("too_large", str(error)) from None
        except ImageError as error:
            text = str(error)
            reason = "the image is damaged" if "b'" in text else text  # some of Pillow's messages contain the file
            raise Refusal("invalid", f"cannot decode: {reason}") from None
        if image.shape != self._manifest.image_shape:
            found = list(image.shape)
            raise Refusal("invalid", f"expected an image of {list(self._manifest.image_shape)}, found {found}")
        return image

    def _metadata(self) -> dict[str, Any]:
        """Return the protocol's model metadata."""
        tensors = {"inputs": [specs[0] for specs in self._accepted.values()], "outputs": self._outputs.values()}
        described = {
            kind: [{"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)} for spec in specs]
            for kind, specs in tensors.items()
        }
        return {"name": self._name, "versions": ["1"], "platform": "onnx_onnxv1", **described}
