"""The error for a graph that an engine cannot load."""

from edgecnn.bundle.four_bits import DOMAIN, OPERATOR
from edgecnn.errors import EngineError, OperatorMissing


def load_error(
    error: Exception, *, engine: str, version: str, what: str, reason: str, four_bits_since: str
) -> EngineError:
    """Return the error for a graph that an engine cannot load.

    Args:
        error: the engine's error. It names the operator that the engine lacks, or whose attributes it cannot read.
        engine: name of the engine in text.
        version: version of the engine.
        what: the graph and the device.
        reason: the engine's reason, on one line.
        four_bits_since: the first version that runs 4-bit linear layers.
    """
    if OPERATOR not in str(error):
        return EngineError(f"{engine} cannot load {what}: {reason}")
    return OperatorMissing(
        f"{engine} {version} cannot load {what}: it lacks {DOMAIN}.{OPERATOR}, the operator of 4-bit linear layers: "
        f"upgrade it to {four_bits_since} or later, use another engine, or quantize with --linear-weights int8 "
        f"({reason})"
    )
