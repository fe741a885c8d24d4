"""Large files that appear whole or not at all; what a killed writer left behind, the next one clears away."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from edgecnn.bundle.folder import check_outside_bundles, writing
from edgecnn.bundle.locking import locked
from edgecnn.errors import OutputExists, UsageError


@contextlib.contextmanager
def new_file(out: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a place for a file that becomes `out` when the block ends; an error in the block leaves nothing.

    The block makes its content durable, as `write_new_file` does.

    Raises:
        OutputExists: `out` stands already and `force` is false.
        UsageError: it is something that `force` must not replace, or lies inside a bundle.
        EdgecnnError: the system refused, for example a full disk; nothing has changed then.
    """
    _check(out, force=force)
    with writing(out) as folder:
        yield folder / out.name
        with locked(out.parent):  # a hard link would refuse to replace by itself, but memory cards know none
            _check(out, force=force)
            (folder / out.name).replace(out)


def _check(out: Path, *, force: bool) -> None:
    if not out.name or out.name in (".", ".."):
        raise UsageError(f"{out} cannot be an output file: name a new file")
    check_outside_bundles(out)
    if not os.path.lexists(out):
        return
    if out.is_symlink() or not out.is_file():
        raise UsageError(f"{out} is not a plain file, so it is not replaced: choose another name")
    if not force:
        raise OutputExists(f"{out} exists already: choose another file, or replace it with --force")
