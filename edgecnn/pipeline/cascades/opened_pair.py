"""Opens both graphs of a future cascade on every engine, and its reference."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from edgecnn.bundle.store import Bundle
from edgecnn.pipeline.data.source import Split
from edgecnn.pipeline.proving import engine_sessions
from edgecnn.progress import Progress
from edgecnn.runtime.cascade import CascadeRule, CascadeSession
from edgecnn.runtime.engines.engine import Session
from edgecnn.runtime.verification.evaluation import Evaluation, evaluate


@dataclass(frozen=True)
class OpenedPair:
    """The pair, and its sessions by engine. `reference` is the FP32 bundle's session on the first engine."""

    fast: Bundle
    accurate: Bundle
    reference: Bundle
    fast_sessions: dict[str, Session]
    accurate_sessions: dict[str, Session]
    expected: Session

    @property
    def engine(self) -> str:
        """The engine that chooses the threshold and runs the reference."""
        return next(iter(self.fast_sessions))

    def evaluate(self, sessions: dict[str, Session], images: Split, progress: Progress) -> Evaluation:
        """Run images through sessions, and through the reference."""
        manifest = self.accurate.manifest
        compared = {**sessions, "reference": self.expected}
        return evaluate(compared, images, manifest.preprocessing, classes=len(manifest.labels), progress=progress)

    def cascades(self, threshold: float) -> dict[str, CascadeSession]:
        """Return a cascade on each engine."""
        rule = CascadeRule(threshold, self.accurate.manifest.scores)
        return {
            name: CascadeSession(session, self.accurate_sessions[name], rule)
            for name, session in self.fast_sessions.items()
        }


@contextlib.contextmanager
def open_pair(fast: Bundle, accurate: Bundle, reference: Bundle) -> Iterator[OpenedPair]:
    """Open both graphs on every engine, and the reference on the first.

    Raises:
        EngineError: an engine cannot load a graph.
    """
    with contextlib.ExitStack() as stack:

        def sessions(bundle: Bundle) -> dict[str, Session]:
            stored = bundle.manifest.quantization
            full_range = stored is not None and stored.is_full_range
            return stack.enter_context(engine_sessions(bundle.model, full_range=full_range))

        first, second = sessions(fast), sessions(accurate)
        first = {name: session for name, session in first.items() if name in second}
        others = second if reference.digest == accurate.digest else sessions(reference)
        yield OpenedPair(fast, accurate, reference, first, second, others[next(iter(first))])
