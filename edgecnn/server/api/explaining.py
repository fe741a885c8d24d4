"""Answer the requests of `--explain`: what a model computes for one image.

The maps come from the bundle's graph with extra outputs, in a session of its own. It is opened on demand and closed
after a minute without a request; meanwhile its memory is part of the memory budget. One image is explained at a time.
"""

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs

import numpy as np

from edgecnn.bundle.store import Bundle
from edgecnn.errors import UsageError
from edgecnn.explaining.explain import Explainer, ExplainOptions
from edgecnn.explaining.memory import explaining_bytes
from edgecnn.progress import Progress
from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.wording import quoted
from edgecnn.server.api.image_task import Call, ImageTask
from edgecnn.server.api.step_pool import StepPool
from edgecnn.server.memory import MemoryBudget
from edgecnn.server.models.model import Model
from edgecnn.server.models.statistics import Statistics
from edgecnn.server.models.version import Version

_IDLE_S = 60.0
_MOST_MAPS = 64
"""Maps in one response."""


@dataclass(frozen=True)
class Wanted:
    """What a request's query asks for: an explanation, more maps of a layer, or where the network looks for a class.

    Attributes:
        layer: id of the layer whose maps are returned, from number `first` on, at most `count`; empty for none.
        first: see `layer`.
        count: see `layer`.
        target: number of the class for which occlusion is returned; None for none.
        compared: name of the served model to compare with; empty for none.
    """

    layer: str = ""
    first: int = 0
    count: int = 16
    target: int | None = None
    compared: str = ""

    @classmethod
    def of(cls, query: str) -> "Wanted":
        """Parse a query.

        Raises:
            Refusal: a value is not a number, or beyond its limit.
        """
        given = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
        return cls(
            layer=given.get("layer", ""),
            first=_number(given, "first", 0, 1_000_000),
            count=_number(given, "count", 16, _MOST_MAPS),
            target=_number(given, "class", 0, 1_000_000) if "class" in given else None,
            compared=given.get("compare", ""),
        )


def _number(given: dict[str, str], name: str, default: int, most: int) -> int:
    text = given.get(name, str(default))
    digits = text.lstrip("0")[:8] or "0"  # the longest number has seven digits
    if not (text.isascii() and text.isdecimal() and int(digits) <= most):
        raise Refusal("invalid", f"{name} in the query: expected a number up to {most}")
    return int(digits)


class ExplanationCall(Call, Protocol):
    """A request for an explanation.

    Attributes:
        query: of its path.
    """

    query: str

    def write_document(self, document: Any, version: Version) -> Callable[[], object]:
        """Encode the response, in any thread; return a function that sends it from the event loop's thread."""
        ...


class Explainers:
    """The explainer of the bundle that was explained last. Callable from any thread."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._claim = budget.claim()
        self._lock = threading.Lock()
        self._explainer: Explainer | None = None
        self._digests: tuple[str, ...] = ()
        self._used = 0.0

    @contextlib.contextmanager
    def opened(self, bundle: Bundle, compared: Bundle | None) -> Iterator[Explainer]:
        """Return the explainer of a bundle; no other thread can use it meanwhile.

        Raises:
            Refusal: another image is being explained, or there is no memory for the session.
            UsageError: the bundles cannot be compared.
            EngineError: the engine rejected the graph.
        """
        if not self._lock.acquire(blocking=False):
            raise Refusal("busy", "another image is being explained: try again later")
        try:
            yield self._open(bundle, compared)
        finally:
            self._used = time.monotonic()
            self._lock.release()

    def close_idle(self) -> None:
        """Close the session if it was not used for a minute."""
        if time.monotonic() - self._used > _IDLE_S and self._lock.acquire(blocking=False):
            self._close()
            self._lock.release()

    def _open(self, bundle: Bundle, compared: Bundle | None) -> Explainer:
        bundles = [bundle] if compared is None else [bundle, compared]
        digests = tuple(each.digest for each in bundles)
        if self._explainer is None or digests != self._digests:
            self._close()
            self._claim.take(sum(map(explaining_bytes, bundles)))
            try:
                self._explainer = Explainer(bundle, compared, threads=1)
            except BaseException:
                self._claim.release()
                raise
            self._digests = digests
        return self._explainer

    def _close(self) -> None:
        if self._explainer is not None:
            self._explainer.close()
            self._explainer = None
            self._claim.release()


class ExplanationTask(ImageTask):
    """One request for an explanation. It does not count as an inference request."""

    _call: ExplanationCall

    def __init__(
        self,
        model: Model,
        call: ExplanationCall,
        pool: StepPool,
        *,
        wanted: Wanted,
        compared: Bundle | None,
        explainers: Explainers,
        version: Version | None = None,
    ) -> None:
        super().__init__(model, call, pool, version=version)
        self._wanted, self._compared, self._explainers = wanted, compared, explainers

    def _submit(self, images: np.ndarray) -> None:
        if len(images) != 1:
            raise Refusal("invalid", f"expected one image to explain, found {len(images)}")
        assert self._version is not None
        step = functools.partial(self._explained, images[0], self._version)
        self._in_pool(step, self._succeed, is_large=True)

    def _explained(self, image: np.ndarray, version: Version) -> Callable[[], object]:
        """Explain the image and encode the response; called in a thread."""
        bundle, wanted = version.bundle, self._wanted
        try:
            with self._explainers.opened(bundle, self._compared) as explainer:
                # The callback stops the work if the client has left or its timeout has expired.
                document = _document(explainer, image, wanted, lambda *_: self._begin_image())
        except UsageError as error:  # the bundles cannot be compared, or the graph has no such layer or class
            raise Refusal("invalid", str(error)) from None
        return self._call.write_document(document, version)

    def _succeed(self, send: Callable[[], object]) -> None:
        if self._end():
            send()

    def _failed(self, refusal: Refusal, statistics: Statistics) -> None:
        pass

    def _left(self, version: Version | None) -> None:
        pass


def _document(explainer: Explainer, image: np.ndarray, wanted: Wanted, progress: Progress) -> Any:
    if wanted.layer:
        return {"maps": explainer.maps(image, wanted.layer, wanted.first, wanted.count)}
    if wanted.target is not None:
        return explainer.attend(image, wanted.target, progress=progress)
    return explainer.explain(image, ExplainOptions(attended=0), progress)


def compared_bundle(models: Mapping[str, Model], wanted: Wanted) -> Bundle | None:
    """Return the bundle of the served model to compare with; None without one.

    Raises:
        Refusal: no such model is ready.
    """
    if not wanted.compared:
        return None
    model = models.get(wanted.compared)
    if model is None:
        raise Refusal("not_found", f"compare in the query: model {quoted(wanted.compared)} is not found")
    return model.version.bundle
