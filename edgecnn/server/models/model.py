"""One model that is served: the version that answers for it now, what waits for an answer, and why there is none."""

import asyncio
from typing import Literal

from edgecnn.protocol.refusal import Refusal
from edgecnn.server.metrics import ModelMetrics
from edgecnn.server.models.loading import Loaded
from edgecnn.server.models.statistics import Statistics
from edgecnn.server.models.version import Bounds, Version

State = Literal["loading", "ready", "unavailable"]


class Model:
    """A name under which bundles are served, one at a time. Everything here happens in the event loop's thread.

    Attributes:
        name: as in its URL.
        state: what it is doing.
        reason: why it does not answer, or why it still answers with an older version, for people; else empty.
        pending: requests that are not answered yet.
        bounds: what requests may take of it.
        metrics: what has happened to its requests.
        has_died: whether the engine fails on every image.
        is_unloaded: whether it does not answer because a client has said so.
    """

    def __init__(self, name: str, bounds: Bounds, metrics: ModelMetrics) -> None:
        self.name = name
        self.bounds = bounds
        self.metrics = metrics
        self.state: State = "loading"
        self.reason = "the bundle is being opened and proven"
        self.pending = 0
        self.has_died = self.is_unloaded = False
        self._version: Version | None = None
        self._refused = Statistics()
        self._retiring: list[Version] = []
        metrics.ready(is_ready=False)

    @property
    def version(self) -> Version:
        """The version that answers.

        Raises:
            Refusal: there is none.
        """
        if self._version is None:
            raise Refusal("unready", f"model '{self.name}' is {self.state}: {self.reason}")
        return self._version

    @property
    def number(self) -> str:
        """The version's number; nothing where there is none."""
        return self._version.number if self._version else ""

    @property
    def statistics(self) -> Statistics:
        """What has happened to requests of the version that answers; where there is none, those that none has taken."""
        return self._version.statistics if self._version else self._refused

    def start(self, loaded: Loaded, loop: asyncio.AbstractEventLoop, *, number: str) -> None:
        """Answer with this version from now on; what has begun with the one before ends with it.

        Args:
            loaded: the bundle.
            loop: that this runs in.
            number: as in its URL.
        """
        version = Version(loaded, loop, number=number, bounds=self.bounds, observer=self.metrics, died=self._died)
        self._retire()
        self._version = version
        self._become("ready", "")

    def refuse(self, reason: str) -> None:
        """Take note that what was to be loaded cannot be: the version that answers goes on, if there is one.

        Args:
            reason: why; nothing where what could not be loaded is not there any more.
        """
        if self._version is not None:
            self.reason = reason
        elif reason:
            self._become("unavailable", reason)

    def unload(self) -> None:
        """Answer nothing more; what has begun is answered."""
        self._retire()
        self._become("unavailable", "it was unloaded")
        self.is_unloaded = True

    def enter(self, version: Version | None = None) -> Version:
        """Let a request in, which `pending` counts already; it has to leave the version that it gets.

        Args:
            version: that was kept for it; else it gets the one that answers now.

        Raises:
            Refusal: the model does not answer, or as many requests as it may hold wait already.
        """
        version = version or self.version
        if self.pending > self.bounds.max_pending:
            raise Refusal("busy", f"{self.pending - 1} requests wait already: try again later")
        version.enter()
        return version

    def longest_run_s(self) -> float:
        """Return for how long the oldest run has been under way, of any version; any thread may ask."""
        versions = [*self._retiring, *([self._version] if self._version else [])]
        return max((version.longest_run_s() for version in versions), default=0.0)

    def _retire(self) -> None:
        version, self._version = self._version, None
        if version is not None:
            self._retiring.append(version)
            version.retire(self._retiring.remove)

    def _died(self, version: Version) -> None:
        """Take note that the engine answers nothing any more; its worker looks for that, and ends."""
        if version is self._version:
            self._version = None
            self.has_died = True
            self._become("unavailable", "its engine has stopped working, and is started again")

    def _become(self, state: State, reason: str) -> None:
        self.state, self.reason, self.is_unloaded = state, reason, False
        self.metrics.ready(is_ready=state == "ready")
