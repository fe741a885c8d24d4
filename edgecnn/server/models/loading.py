"""Opens a bundle and runs its self-test, first in a child process (preflight), then in this one.

Errors contain paths; `public_reason` removes them for clients.
"""

import logging
import timeit
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecnn.bundle.proof import Proof
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import (
    BundleError,
    EdgecnnError,
    EngineCrashed,
    EngineError,
    ExternalData,
    ProofFailed,
    SignatureError,
    SignatureInvalid,
    SignatureMissing,
)
from edgecnn.runtime.cascade import sessions_of
from edgecnn.runtime.engines.engine import Session, SessionOptions
from edgecnn.runtime.profile import tuned_setting
from edgecnn.runtime.verification.replay import SelfTestResult
from edgecnn.server.options import ServeOptions
from edgecnn.server.preflight.signature_check import check_signature
from edgecnn.server.preflight.trial import open_proven, try_bundle

_RUNS = 5

logger = logging.getLogger(__name__)

_REASONS: tuple[tuple[type[EdgecnnError], str], ...] = (
    (SignatureMissing, "its signature is missing"),
    (SignatureInvalid, "its signature is invalid"),
    (SignatureError, "its signature could not be checked"),
    (EngineCrashed, "the engine crashed or timed out"),
    (EngineError, "the engine rejected it"),
    (ProofFailed, "its self-test failed on this machine"),
    (ExternalData, "its graph refers to another file"),
    (BundleError, "it is not an intact bundle"),
)


@dataclass(frozen=True)
class Loaded:
    """A bundle that has passed its self-test here.

    Attributes:
        known: an image of the self-test, uint8 [1, H, W, C].
        run_ms: time of one image; of a cascade, with its fast graph.
        accurate_ms: time of one image with the accurate graph of a cascade; None for one graph.
    """

    bundle: Bundle
    session: Session
    proof: Proof
    self_test: SelfTestResult
    known: np.ndarray
    run_ms: float
    accurate_ms: float | None = None

    def accurate_batch(self, max_batch: int) -> int:
        """Return how many images the accurate graph runs in about the time of a full batch of the fast graph."""
        if not self.accurate_ms:
            return max_batch
        return max(1, min(max_batch, int(max_batch * self.run_ms / self.accurate_ms)))


def load(path: Path, options: ServeOptions, cores: int, *, in_background: bool = False) -> Loaded:
    """Check the signature of a bundle, then open and test it in a child process and in this one.

    Both must have the same digest. With `in_background`, this takes longer and delays requests less.

    Raises:
        EdgecnnError: the bundle cannot be served; see `public_reason`.
    """
    key = options.require_signature
    signed = None if key is None else check_signature(path, key=key, timeout_s=options.load_timeout_s)
    bundle = open_bundle(path, digest=signed)
    engine, session_options = plan_of(bundle, options, cores)
    trial = try_bundle(
        path,
        digest=bundle.digest,
        engine=engine,
        options=session_options,
        strict=options.strict,
        cache=options.cache,
        max_batch=options.max_batch,
        timeout_s=options.load_timeout_s,
        in_background=in_background,
    )
    logger.debug("the preflight passed", extra={"model": bundle.manifest.name, "seconds": round(trial.seconds, 3)})
    if signed is not None:  # the files may have changed during the preflight
        bundle = open_bundle(path, digest=signed)
    proof = bundle.proof()
    session, self_test, shown = open_proven(
        bundle,
        engine=engine,
        options=session_options,
        strict=options.strict,
        cache=options.cache,
        in_background=in_background,
    )
    known = self_test.images[:1].copy()
    return Loaded(bundle, session, proof, shown, known, *(_run_ms(each, known) for each in sessions_of(session)))


def _run_ms(session: Session, image: np.ndarray) -> float:
    """Return the shortest time of one image in milliseconds: other work only makes a run longer."""
    return 1000 * min(timeit.repeat(lambda: session.run(image), repeat=_RUNS, number=1))


def plan_of(bundle: Bundle, options: ServeOptions, cores: int) -> tuple[str, SessionOptions]:
    """Choose engine, threads and instances: from the options, else the profile, else one run on all cores.

    By default, all instances together use at most one thread per core.
    """
    tuned = tuned_setting(bundle, "throughput") if (options.engine, options.device) == ("auto", "cpu") else None
    fits = tuned is not None and tuned.instances * tuned.threads <= cores
    instances = options.instances or (tuned.instances if tuned and fits and options.threads is None else 1)
    threads = options.threads
    if threads is None:
        threads = tuned.threads if tuned and fits and options.instances is None else max(1, cores // instances)
    session = SessionOptions(device=options.device, threads=threads, instances=instances)
    return (tuned.engine if tuned else options.engine), session


def public_reason(error: EdgecnnError) -> str:
    """Return why a bundle is not served, without the paths in the error."""
    return next((reason for cls, reason in _REASONS if isinstance(error, cls)), "it cannot be opened")
