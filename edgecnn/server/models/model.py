"""One model: its current version, its pending requests, and why it is not ready."""

import asyncio
from typing import Literal

from edgecnn.protocol.refusal import Refusal
from edgecnn.server.metrics import ModelMetrics
from edgecnn.server.models.loading import Loaded
from edgecnn.server.models.statistics import Statistics
from edgecnn.server.models.version import Bounds, Version

State = Literal["loading", "ready", "unavailable"]


class Model:
    """A name under which bundles are served, one at a time. Used in the event loop's thread only.

    Attributes:
        name: as in its URL.
        state: loading, ready or unavailable.
        reason: why the model is not ready, or still serves an older version, as a sentence; else empty.
        pending: requests without a response.
        bounds: limits of requests.
        metrics: counts its requests.
        has_died: whether the engine fails on each image.
        is_unloaded: whether a client has unloaded it.
    """

    def __init__(self, name: str, bounds: Bounds, metrics: ModelMetrics) -> None:
        self.name = name
        self.bounds = bounds
        self.metrics = metrics
        self.state: State = "loading"
        self.reason = "the bundle is being opened and tested"
        self.pending = 0
        self.has_died = self.is_unloaded = False
        self._version: Version | None = None
        self._refused = Statistics()
        self._retiring: list[Version] = []
        metrics.ready(is_ready=False)

    @property
    def version(self) -> Version:
        """The current version.

        Raises:
            Refusal: no version is ready.
        """
        if self._version is None:
            raise Refusal("unready", f"model '{self.name}' is {self.state}: {self.reason}")
        return self._version

    @property
    def current(self) -> Version | None:
        """The current version; None without one."""
        return self._version

    @property
    def number(self) -> int | None:
        """The number of the current version; None without one."""
        return self._version.number if self._version else None

    @property
    def statistics(self) -> Statistics:
        """The statistics of the current version; without one, of the refused requests."""
        return self._version.statistics if self._version else self._refused

    def start(self, loaded: Loaded, loop: asyncio.AbstractEventLoop, *, number: int) -> None:
        """Serve this version; the previous one still answers its pending requests."""
        version = Version(loaded, loop, number=number, bounds=self.bounds, metrics=self.metrics, died=self._died)
        self._retire()
        self._version = version
        self._become("ready", "")

    def refuse(self, reason: str) -> None:
        """Record why a bundle cannot be loaded (empty to clear); the current version, if any, stays."""
        if self._version is not None:
            self.reason = reason
        elif reason:
            self._become("unavailable", reason)

    def unload(self) -> None:
        """Stop accepting requests; pending ones are answered."""
        self._retire()
        self._become("unavailable", "it was unloaded")
        self.is_unloaded = True

    def enter(self, version: Version | None = None) -> Version:
        """Return the version for a request: `version`, or the current one.

        `pending` already includes the request. The caller must call `leave` on the version.

        Raises:
            Refusal: the model is not ready, or too many requests are pending.
        """
        version = version or self.version
        if self.pending > self.bounds.max_pending:
            raise Refusal("busy", f"{self.pending - 1} requests are already queued: try again later")
        version.enter()
        return version

    def longest_run_s(self) -> float:
        """Return how long the oldest current run of any version has taken. May be called from any thread."""
        versions = [*self._retiring, *([self._version] if self._version else [])]
        return max((version.batcher.longest_run_s() for version in versions), default=0.0)

    def _retire(self) -> None:
        version, self._version = self._version, None
        if version is not None:
            self._retiring.append(version)
            version.retire(self._retiring.remove)

    def _died(self, version: Version) -> None:
        """Record that the engine has died; the worker checks `has_died` and exits."""
        if version is self._version:
            self._version = None
            self.has_died = True
            self._become("unavailable", "its engine stopped working and is being restarted")

    def _become(self, state: State, reason: str) -> None:
        self.state, self.reason, self.is_unloaded = state, reason, False
        self.metrics.ready(is_ready=state == "ready")
