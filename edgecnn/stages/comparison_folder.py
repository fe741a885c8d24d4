"""The folder of a comparison of networks: its plan, and what of an earlier run is kept."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from edgecnn.bundle.finding import check_outside_bundles
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import BundleError, EdgecnnError, OutputExists, UsageError
from edgecnn.files import schema
from edgecnn.files.folder import check_output, write_folder
from edgecnn.files.locking import LOCKS, try_lock

PLAN = "comparison.json"
FORMAT = 1


@dataclass(frozen=True)
class Plan:
    """What all networks of a comparison have in common: `comparison.json` of its folder.

    Attributes:
        format: version of this file.
        data: name of the data source.
        train_digest: digest of its training split.
        test_digest: digest of its test split.
        epochs: epochs of each network; None for the number in its recipe.
        seed: seed of each training; None for that of its recipe.
    """

    format: int
    data: str
    train_digest: str
    test_digest: str
    epochs: int | None
    seed: int | None


@contextlib.contextmanager
def comparison_folder(out: Path, plan: Plan, *, force: bool) -> Iterator[None]:
    """Create a folder with a plan, or continue in one with the same plan. The folder is locked while the block runs.

    Raises:
        OutputExists: `out` is not the folder of a comparison.
        UsageError: it has another plan and `force` is false, or another process uses it.
    """
    check_outside_bundles(out)
    is_empty = out.is_dir() and not any(out.iterdir())
    exists = (out / PLAN).is_file()
    if not exists and not is_empty:
        check_output(out, marker=PLAN, force=False)
    if exists and not force:
        _check_plan(out, plan)
    else:
        with _lock(out) if exists else contextlib.nullcontext():
            write_folder(out, {PLAN: schema.dump(plan).encode()}, marker=PLAN, force=force or is_empty)
    with _lock(out):
        yield


def _check_plan(out: Path, plan: Plan) -> None:
    try:
        earlier = schema.parse(Plan, (out / PLAN).read_bytes())
    except schema.SchemaError as error:
        raise OutputExists(f"{out / PLAN} is not the plan of a comparison: {error}; use another folder") from None
    now = asdict(plan)
    changed = [f"{name} {value} → {now[name]}" for name, value in asdict(earlier).items() if value != now[name]]
    if changed:
        raise UsageError(
            f"{out} has a comparison with other options ({'; '.join(changed)}): use its options or another folder, or "
            f"discard it with --force"
        )


@contextlib.contextmanager
def _lock(out: Path) -> Iterator[None]:
    """Lock the plan: writers inside the folder lock the folder itself."""
    descriptor = try_lock(out / PLAN)
    if descriptor is None and LOCKS:
        raise UsageError(f"{out} is in use by another process: wait until it has finished")
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def kept_or_made(place: Path, is_current: Callable[[Bundle], bool], make: Callable[[], Bundle]) -> Bundle:
    """Return the bundle of an earlier run if it is intact and current, or else make it."""
    try:
        found = open_bundle(place)
    except BundleError:
        return make()
    return found if is_current(found) else make()


def reason_of(error: Exception) -> str:
    """Return an error of a step on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, EdgecnnError) else f"{type(error).__name__}: {text}"
