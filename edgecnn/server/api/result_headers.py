"""What is told beside a result over either protocol: which bundle gave it, and where its time went."""

from edgecnn.server.api.inference import Timing


def server_timing(timing: Timing) -> str:
    """Return the value of `Server-Timing`, in milliseconds (W3C, Server Timing)."""
    decode, queue, inference = 1000 * timing.decode_s, 1000 * timing.queue_s, 1000 * timing.inference_s
    return f"decode;dur={decode:.3f}, queue;dur={queue:.3f}, inference;dur={inference:.3f}"
