"""Turn warnings into errors."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from edgecnn.errors import EdgecnnError, EdgecnnWarning, WeightsNote


@contextmanager
def warnings_as_errors(*, when: bool) -> Iterator[None]:
    """Raise the first warning inside the block as an error, if `when` is set. Notes remain notes."""
    if not when:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error", EdgecnnWarning)
        warnings.simplefilter("always", WeightsNote)
        try:
            yield
        except EdgecnnWarning as warning:
            raise EdgecnnError(str(warning)) from None
