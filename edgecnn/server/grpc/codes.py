"""The status code by which gRPC says why a request is answered with an error; HTTP's stand beside the reasons."""

from grpc import StatusCode

from edgecnn.protocol.refusal import Reason

CODES: dict[Reason, StatusCode] = {
    "invalid": StatusCode.INVALID_ARGUMENT,
    "unauthorized": StatusCode.UNAUTHENTICATED,
    "forbidden": StatusCode.PERMISSION_DENIED,
    "not_found": StatusCode.NOT_FOUND,
    "method": StatusCode.UNIMPLEMENTED,
    "slow": StatusCode.DEADLINE_EXCEEDED,
    "too_large": StatusCode.RESOURCE_EXHAUSTED,
    "unsupported": StatusCode.INVALID_ARGUMENT,
    "busy": StatusCode.UNAVAILABLE,  # clients try these two again by themselves
    "unready": StatusCode.UNAVAILABLE,
    "late": StatusCode.DEADLINE_EXCEEDED,
    "engine": StatusCode.INTERNAL,
}
