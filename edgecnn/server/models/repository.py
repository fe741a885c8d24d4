"""Loads models, at the start and while others are served: one at a time, in a thread of its own.

What is to be served stands on the disk: the one bundle of a model, or the highest of its versions that can be. It is
tried in a child process first (see `loading`); only if it answers there as its reference did, and takes and gives what
the version that is served does, the two are exchanged. Until then, and whatever is wrong with it, the one goes on.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgecnn.bundle.manifest import Manifest, TensorSpec
from edgecnn.errors import EdgecnnError, UsageError
from edgecnn.protocol.refusal import Refusal
from edgecnn.protocol.wording import quoted
from edgecnn.server.models.catalogue import Candidate, Held, Source, candidates, find_sources
from edgecnn.server.models.load_queue import LoadOrder, LoadQueue
from edgecnn.server.models.loading import Loaded, public_reason

FAILED = "the server failed on it; its log says why"
"""What is said of a model after a bug."""
_NOTHING = "there is no bundle any more"

logger = logging.getLogger(__name__)


class Desk(Protocol):
    """Where models answer; each call is made in this thread and done in the event loop's, in the order of the calls."""

    def serve(self, name: str, number: str, loaded: Loaded, seconds: float) -> None:
        """Answer with a version from now on."""
        ...

    def refuse(self, name: str, reason: str) -> None:
        """Say why nothing, or still an older version, answers; or that there is nothing to say any more."""
        ...

    def unload(self, name: str) -> None:
        """Answer no more."""
        ...

    def loaded(self) -> None:
        """Take note that what was to be served from the start has been tried."""
        ...

    def tell(self, order: LoadOrder, refusal: Refusal | None) -> None:
        """Tell clients what became of their order."""
        ...


@dataclass
class _Place:
    """What is known of a model here."""

    source: Source
    held: Held
    serving: tuple[str, ...] | None = None  # signatures: of what is served,
    tried: tuple[str, ...] = ()  # of the best that stood there when it was tried last,
    seen: tuple[str, ...] = ()  # and of what stood there at the last look


class Repository:
    """The models of a server."""

    def __init__(
        self,
        sources: Sequence[Source],
        roots: Sequence[Path],
        desk: Desk,
        orders: LoadQueue,
        *,
        open_bundle: Callable[[Path], Loaded],
        held: Sequence[Held],
        remember: Callable[[Held], object],
        watch_s: float,
        signed: bool = False,
    ) -> None:
        """Describe what is to be served.

        Args:
            sources: from the start.
            roots: where models may be found that are asked for later.
            desk: where they answer.
            orders: what clients ask for.
            open_bundle: opens and proves a bundle; raises EdgecnnError.
            held: what is known of models from a worker before this one.
            remember: keeps what a worker after this one must know, should it end unasked; called in this thread.
            watch_s: how often to look for new versions; 0 for never.
            signed: whether a version is a new one also when its signature has come or changed.
        """
        self._held = {each.name: each for each in held}
        self._places = {source.name: self._place(source) for source in sources}
        self._roots = roots
        self._desk = desk
        self._open = open_bundle
        self._remember = remember
        self._watch_s = watch_s
        self._signed = signed
        self._orders = orders

    def run(self) -> None:
        """Load everything, then what changes and what is asked for, for ever."""
        for name in self._held:
            if name not in self._places and self._found_again(name) is None:
                self._desk.refuse(name, _NOTHING)
        for name in self._places:
            self._begin(name)
        self._desk.loaded()
        next_look = time.monotonic() + self._watch_s
        while True:
            order = self._orders.take(max(0.0, next_look - time.monotonic()) if self._watch_s else None)
            if order is None:
                self._look()
                next_look = time.monotonic() + self._watch_s
            else:
                self._obey(order)

    def _begin(self, name: str) -> None:
        """Load the highest version that can be, unless a worker before this one was told not to."""
        place = self._places[name]
        try:
            if place.held.is_unloaded:
                self._desk.unload(name)
                return
            found = candidates(place.source, signed=self._signed)
            reason = self._change(place, found) if found else _NOTHING
        except Exception:
            logger.exception("a bug: a model was not loaded", extra={"model": name})
            reason = FAILED
        if reason is not None:
            self._desk.refuse(name, reason)

    def _look(self) -> None:
        """Load what has come since, once it has stood still from one look to the next: it may be half copied."""
        for name, place in self._places.items():
            try:
                reason = None if place.held.is_unloaded else self._looked(place)
            except Exception:
                logger.exception("a bug: new versions were not looked for", extra={"model": name})
            else:
                if reason is not None:
                    self._desk.refuse(name, reason)

    def _looked(self, place: _Place) -> str | None:
        found = candidates(place.source, signed=self._signed)
        if not found:
            return None
        best = found[0].signature
        has_settled, place.seen = best == place.seen, best
        return self._change(place, found) or "" if has_settled and best != place.tried else None

    def _obey(self, order: LoadOrder) -> None:
        try:
            refusal = self._obeyed(order)
        except Exception:
            logger.exception("a bug: a model was not loaded or unloaded", extra={"model": order.name})
            refusal = Refusal("engine", "the server failed on this request; its log says why")
        self._desk.tell(order, refusal)

    def _obeyed(self, order: LoadOrder) -> Refusal | None:
        """Do as a client asks; returns why not."""
        place = self._places.get(order.name)
        if order.action == "unload":
            if place is None:
                return Refusal("not_found", f"model {quoted(order.name)} is not among those that were loaded")
            place.serving = None
            self._hold(place, Held(order.name, is_unloaded=True))
            self._desk.unload(order.name)
            return None
        place = self._found_again(order.name) or place
        if place is None:
            return Refusal("not_found", f"model {quoted(order.name)} is not found in the folders that are served")
        found = candidates(place.source, signed=self._signed)
        if not found:
            return Refusal("invalid", f"model '{order.name}' has no bundle any more: what is served goes on")
        if place.held.is_unloaded:
            self._hold(place, Held(order.name))
        reason = self._change(place, found)
        self._desk.refuse(order.name, reason or "")
        return Refusal("invalid", f"failed to load '{order.name}': {reason}") if reason else None

    def _found_again(self, name: str) -> _Place | None:
        """Return the place of a model that stands in the folders now: one that has come since, or as something else."""
        try:
            sources = find_sources(self._roots)
        except UsageError:  # two of one name: neither is meant
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
        if found.doubt:
            logger.warning("%s", found.doubt, extra={"model": name})
        return place

    def _place(self, source: Source) -> _Place:
        return _Place(source, self._held.get(source.name, Held(source.name)))

    def _hold(self, place: _Place, held: Held) -> None:
        """Take note of what clients rely on, for a worker after this one too."""
        if held != place.held:
            place.held = held
            self._remember(held)

    def _change(self, place: _Place, found: Sequence[Candidate]) -> str | None:
        """Serve the best version that can be; return what was wrong with those that are better than what is served."""
        place.tried = place.seen = found[0].signature
        refusals = []
        for candidate in found:
            reason = None if candidate.signature == place.serving else self._try(place, candidate)
            if reason is None:
                break
            refusals.append(reason)
        return "; ".join(refusals) or None

    def _try(self, place: _Place, candidate: Candidate) -> str | None:
        """Open a bundle and serve it; returns why not, for everybody to read."""
        name, start = place.source.name, time.monotonic()
        what = f"version {candidate.number}" if place.source.has_versions else "the bundle"
        try:
            loaded = self._open(candidate.path)
        except EdgecnnError as error:
            logger.error("%s%s", error, _meanwhile(place), extra={"model": name})
            return _refused(what, public_reason(error), place)
        except Exception:
            logger.exception("a bug: the bundle could not be loaded", extra={"model": name})
            return _refused(what, "it cannot be opened", place)
        tensors = _tensors(loaded.bundle.manifest)
        if place.held.tensors and (difference := _difference(place.held.tensors, tensors)):
            loaded.session.close()
            logger.error("%s: %s%s", candidate.path, difference, _meanwhile(place), extra={"model": name})
            return _refused(what, difference, place)
        place.serving = candidate.signature
        self._hold(place, Held(name, tensors))
        self._desk.serve(name, candidate.number, loaded, time.monotonic() - start)
        return None


def _refused(what: str, reason: str, place: _Place) -> str:
    """Say of a newer or a further version which one is meant; of the only bundle there is, only why."""
    return f"{what} was refused: {reason}" if place.held.tensors or place.source.has_versions else reason


def _meanwhile(place: _Place) -> str:
    """Say to operators what a refused version changes, where it is nothing."""
    return "" if place.serving is None else "; what is served goes on"


def _difference(served: Sequence[str], new: Sequence[str]) -> str | None:
    """Say in what a new version would surprise clients of the one that is served."""
    for old, now in zip(served, new, strict=True):
        if old != now:
            return f"expected {old} as the version that is served has, found {now}"
    return None


def _tensors(manifest: Manifest) -> tuple[str, ...]:
    """Return what a bundle takes and gives, in words: where they are the same, so is everything a client relies on."""
    return _shown(manifest.input), _shown(manifest.output)


def _shown(spec: TensorSpec) -> str:
    sizes = ",".join("-1" if size is None else str(size) for size in spec.shape)
    return f"{spec.name} {spec.datatype} [{sizes}]"
