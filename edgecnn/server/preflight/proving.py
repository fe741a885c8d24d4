"""Opens a session that answers as the reference did: the one way in which the server, and its trials, come to one."""

from edgecnn.bundle.self_test import SelfTest
from edgecnn.bundle.store import Bundle
from edgecnn.runtime.engines.backend import Session, SessionOptions
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.verification.replay import SelfTestResult, check_proof


def open_proven(
    bundle: Bundle, *, backend: str, options: SessionOptions, strict: bool, cache: bool
) -> tuple[Session, SelfTest, SelfTestResult]:
    """Open a bundle for throughput and replay its self-test; see `open_session` for the arguments.

    Returns:
        The session, which the caller closes; the self-test; and what replaying it has shown.

    Raises:
        EngineError: the engine, the device or the precision is not there, or the engine refused the graph or failed.
        ProofFailed: it answers otherwise than the reference.
    """
    session = open_session(bundle, backend=backend, options=options, purpose="throughput", strict=strict, cache=cache)
    try:
        self_test, result = check_proof(bundle, session)
    except BaseException:
        session.close()
        raise
    return session, self_test, result
