"""Loads models at the start and while others are served, one at a time, in a separate thread.

A model is served from its one bundle on disk, or from its highest version that can be loaded. A bundle is first tried
in a child process (see `loading`). It replaces the current version only if its self-test passes and it has the same
tensors; otherwise the current version stays.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgecnn.bundle.manifest import GraphTensor, Manifest
from edgecnn.errors import EdgecnnError, UsageError
from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.wording import quoted
from edgecnn.server.models.catalogue import ONLY_VERSION, Handoff, Source, StoredVersion, candidates, find_sources
from edgecnn.server.models.load_queue import LoadOrder, LoadQueue
from edgecnn.server.models.loading import Loaded, public_reason
from edgecnn.server.models.model_host import FAILED, ModelHost

_NOTHING = "no bundle was found"

logger = logging.getLogger(__name__)


@dataclass
class _Place:
    """The state of one model."""

    source: Source
    handoff: Handoff
    serving: tuple[str, ...] | None = None  # signature of the current version
    tried: tuple[str, ...] = ()  # signature of the best candidate at the last attempt to load
    seen: tuple[str, ...] = ()  # signature of the best candidate at the last check


class OpenBundle(Protocol):
    """Opens and tests a bundle, or raises EdgecnnError."""

    def __call__(self, path: Path, *, in_background: bool) -> Loaded:
        """With `in_background`, other models are served meanwhile."""
        ...


class Repository:
    """The models of a server."""

    def __init__(
        self,
        sources: Sequence[Source],
        roots: Sequence[Path],
        host: ModelHost,
        load_queue: LoadQueue,
        *,
        open_bundle: "OpenBundle",
        handoffs: Sequence[Handoff],
        remember: Callable[[Handoff], object],
        watch_s: float,
        signed: bool = False,
    ) -> None:
        """Create a repository of the sources; later, models may also be found in the roots.

        `open_bundle` opens and tests a bundle, see `OpenBundle`. `handoffs` are the states of models from the
        previous worker, and `remember` saves a state for the next one. `watch_s` is the time between checks for new
        versions; 0 disables them. With `signed`, a version also counts as new after its signature was added or changed.
        """
        self._handoffs = {each.name: each for each in handoffs}
        self._places = {source.name: self._place(source) for source in sources}
        self._roots = roots
        self._host = host
        self._open = open_bundle
        self._remember = remember
        self._watch_s = watch_s
        self._signed = signed
        self._load_queue = load_queue
        self._has_started = False  # all models of the start have been tried

    def run(self) -> None:
        """Load all models, then load changes and run orders, forever."""
        for name in self._handoffs:
            if name not in self._places and self._found_again(name) is None:
                self._host.refuse(name, _NOTHING)
        for name in self._places:
            self._begin(name)
        self._host.loaded()
        self._has_started = True
        next_look = time.monotonic() + self._watch_s
        while True:
            order = self._load_queue.take(max(0.0, next_look - time.monotonic()) if self._watch_s else None)
            if order is None:
                self._look()
                next_look = time.monotonic() + self._watch_s
            else:
                self._carry_out(order)

    def _begin(self, name: str) -> None:
        """Load the highest loadable version, unless the previous worker unloaded the model."""
        place = self._places[name]
        try:
            if place.handoff.is_unloaded:
                self._host.unload(name)
                return
            found = candidates(place.source, signed=self._signed)
            reason = self._change(place, found) if found else _NOTHING
        except Exception:
            logger.exception("a bug: a model was not loaded", extra={"model": name})
            reason = FAILED
        if reason is not None:
            self._host.refuse(name, reason)

    def _look(self) -> None:
        """Load new versions that have not changed since the last check, and so are completely copied."""
        for name, place in self._places.items():
            try:
                reason = None if place.handoff.is_unloaded else self._looked(place)
            except Exception:
                logger.exception("a bug: the check for new versions failed", extra={"model": name})
            else:
                if reason is not None:
                    self._host.refuse(name, reason)

    def _looked(self, place: _Place) -> str | None:
        found = candidates(place.source, signed=self._signed)
        if not found:
            return None
        best = found[0].signature
        has_settled, place.seen = best == place.seen, best
        return self._change(place, found) or "" if has_settled and best != place.tried else None

    def _carry_out(self, order: LoadOrder) -> None:
        try:
            refusal = self._carried_out(order)
        except Exception:
            logger.exception("a bug: a model was not loaded or unloaded", extra={"model": order.name})
            refusal = Refusal("engine", "the server failed on this request: see its log")
        self._host.end(order, refusal)

    def _carried_out(self, order: LoadOrder) -> Refusal | None:
        """Run an order; return the error, if any."""
        place = self._places.get(order.name)
        if order.action == "unload":
            if place is None:
                return Refusal("not_found", f"model {quoted(order.name)} was not loaded")
            place.serving = None
            self._hand_off(place, Handoff(order.name, is_unloaded=True))
            self._host.unload(order.name)
            return None
        place = self._found_again(order.name) or place
        if place is None:
            return Refusal("not_found", f"model {quoted(order.name)} was not found in the served folders")
        found = candidates(place.source, signed=self._signed)
        if not found:
            return Refusal("invalid", f"model '{order.name}' has no bundle on disk: the current version stays")
        if place.handoff.is_unloaded:
            self._hand_off(place, Handoff(order.name))
        reason = self._change(place, found)
        self._host.refuse(order.name, reason or "")
        return Refusal("invalid", f"failed to load '{order.name}': {reason}") if reason else None

    def _found_again(self, name: str) -> _Place | None:
        """Search the folders for a model, which may be new or moved."""
        try:
            sources = find_sources(self._roots)
        except UsageError:  # two models have the same name
            return None
        found = next((source for source in sources if source.name == name), None)
        if found is None:
            return None
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = self._place(found)
        elif place.source != found:
            place.source = found
        else:
            return place
        if found.warning:
            logger.warning("%s", found.warning, extra={"model": name})
        return place

    def _is_serving(self) -> bool:
        return any(place.serving is not None for place in self._places.values())

    def _place(self, source: Source) -> _Place:
        return _Place(source, self._handoffs.get(source.name, Handoff(source.name)))

    def _hand_off(self, place: _Place, handoff: Handoff) -> None:
        """Record the state of a model, also for the next worker."""
        if handoff != place.handoff:
            place.handoff = handoff
            self._remember(handoff)

    def _change(self, place: _Place, found: Sequence[StoredVersion]) -> str | None:
        """Serve the best candidate that can be loaded; return the errors of better ones."""
        place.tried = place.seen = found[0].signature
        refusals = []
        for candidate in found:
            reason = None if candidate.signature == place.serving else self._try(place, candidate)
            if reason is None:
                break
            refusals.append(reason)
        return "; ".join(refusals) or None

    def _try(self, place: _Place, candidate: StoredVersion) -> str | None:
        """Open a bundle and serve it; return an error without paths if that fails."""
        name, start = place.source.name, time.monotonic()
        is_numbered = place.source.has_versions or candidate.number != ONLY_VERSION
        what = f"version {candidate.number}" if is_numbered else "the bundle"
        try:
            loaded = self._open(candidate.path, in_background=self._has_started and self._is_serving())
        except EdgecnnError as error:
            logger.error("%s%s", error, _meanwhile(place), extra={"model": name})
            return _refused(what, public_reason(error), place)
        except Exception:
            logger.exception("a bug: the bundle could not be loaded", extra={"model": name})
            return _refused(what, "it cannot be opened", place)
        tensors = _tensors(loaded.bundle.manifest)
        if place.handoff.tensors and (difference := _difference(place.handoff.tensors, tensors)):
            loaded.session.close()
            logger.error("%s: %s%s", candidate.path, difference, _meanwhile(place), extra={"model": name})
            return _refused(what, difference, place)
        place.serving = candidate.signature
        self._hand_off(place, Handoff(name, tensors))
        self._host.serve(name, candidate.number, loaded, time.monotonic() - start)
        return None


def _refused(what: str, reason: str, place: _Place) -> str:
    """Return the reason, with the version if the model can have several."""
    return f"{what} was refused: {reason}" if place.handoff.tensors or place.source.has_versions else reason


def _meanwhile(place: _Place) -> str:
    """Return a note for the log if a current version stays."""
    return "" if place.serving is None else "; the current version stays"


def _difference(served: Sequence[str], new: Sequence[str]) -> str | None:
    """Return how the tensors of a new version differ from the current version's."""
    for old, now in zip(served, new, strict=True):
        if old != now:
            return f"expected {old} as in the current version, found {now}"
    return None


def _tensors(manifest: Manifest) -> tuple[str, ...]:
    """Return the input and output of a bundle as text, to compare them between versions."""
    return _shown(manifest.input), _shown(manifest.output)


def _shown(spec: GraphTensor) -> str:
    sizes = ",".join("-1" if size is None else str(size) for size in spec.shape)
    return f"{spec.name} {spec.datatype} [{sizes}]"
