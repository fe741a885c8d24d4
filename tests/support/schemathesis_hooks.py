"""What OpenAPI cannot describe about inference requests, for schemathesis: bodies that are not JSON.

schemathesis loads this module in its own process (`SCHEMATHESIS_HOOKS`).
"""

from typing import Any

import numpy as np
import schemathesis
from asking import LENGTH, encoded
from hypothesis import strategies
from PIL import Image
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.core.parameters import ParameterLocation
from server_process import binary_request

PICTURE = Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32))
RAW = {bytes(1024): 0, **dict([binary_request(np.zeros((1, 32, 32, 1), np.uint8))])}
"""Bodies of raw tensors, with the length of the JSON before them."""

FILES = {f"image/{kind}": encoded(PICTURE, kind) for kind in ("jpeg", "png", "bmp")}

schemathesis.openapi.media_type("application/octet-stream", strategies.sampled_from(sorted(RAW)))
for media_type, file in FILES.items():
    schemathesis.openapi.media_type(media_type, strategies.just(file))


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Fix valid requests: set the length of their JSON, and write 1.0 (an integer in JSON Schema) as 1."""
    if case.meta is None or not case.meta.generation.mode.is_positive or LENGTH not in case.operation.headers:
        return
    case.headers.pop(LENGTH, None)
    if isinstance(case.body, bytes) and case.body in RAW:
        case.headers[LENGTH] = str(RAW[case.body])
    case.body = whole(case.body)


@schemathesis.hook
def filter_failure(
    context: schemathesis.HookContext, failure: Failure, case: schemathesis.Case, response: schemathesis.Response
) -> bool:
    """Drop false failures: a valid file where an invalid body was expected, or a header that a file ignores."""
    if not isinstance(failure, AcceptedNegativeData) or case.meta is None:
        return True
    bad = {place for place, component in case.meta.components.items() if component.mode.is_negative}
    ignored = {ParameterLocation.BODY, *([ParameterLocation.HEADER] if case.body in FILES.values() else [])}
    return not (bad <= ignored and case.body in (*RAW, *FILES.values()))


def whole(value: Any) -> Any:
    """Return JSON with whole numbers written as integers."""
    if isinstance(value, list):
        return [whole(each) for each in value]
    if isinstance(value, dict):
        return {name: whole(each) for name, each in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 63 else value
