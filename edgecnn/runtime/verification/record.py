"""Verification records: measurements of a sealed bundle on one machine.

A bundle never changes, so its records are kept elsewhere: by default in `$XDG_STATE_HOME/edgecnn/verifications`. A
record contains the digest of its bundle. For any other bundle it is stale.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from edgecnn.bundle.finding import check_outside_bundles
from edgecnn.bundle.manifest import DataReference
from edgecnn.bundle.proof import Comparison
from edgecnn.bundle.store import Bundle
from edgecnn.errors import EdgecnnError
from edgecnn.files import schema
from edgecnn.files.file import write_file
from edgecnn.files.places import state_folder
from edgecnn.runtime.engines.engine import SessionInfo
from edgecnn.runtime.verification.agreement import Agreement
from edgecnn.runtime.verification.batch_mates import BatchMates
from edgecnn.runtime.verification.replay import SelfTestResult

FLIPS = 1000
"""Most flips in a record. Without a limit, the flips of ImageNet could fill megabytes."""


@dataclass(frozen=True)
class VerificationRecord:
    """The result of one verification of one bundle on one engine.

    Attributes:
        bundle: digest of the bundle.
        name: name of the bundle.
        measured: UTC time, ISO 8601.
        session: the session that ran.
        self_test: result of the self-test.
        data: the images of the comparison; None without a comparison.
        reference: digest of the reference's checkpoint; None without a comparison.
        comparison: the comparison, or None.
        holds: whether the proof holds.
        agreement: statistics of the comparison, or None.
        batch_mates: whether answers depend on each other; None without a comparison, and for a simulation.
    """

    bundle: str
    name: str
    measured: str
    session: SessionInfo
    self_test: SelfTestResult
    data: DataReference | None
    reference: str | None
    comparison: Comparison | None
    holds: bool
    agreement: Agreement | None = None
    batch_mates: BatchMates | None = None


def default_path(bundle: Bundle, engine: str) -> Path:
    """Return the default path of a bundle's record on an engine. It depends on the bundle's name, not its digest.

    Raises:
        EdgecnnError: this user has no home folder, and `XDG_STATE_HOME` is not set.
    """
    return state_folder() / "verifications" / f"{bundle.manifest.name}.{engine}.json"


def read_record(path: Path) -> VerificationRecord | None:
    """Read a record. Return None if the file does not exist.

    Raises:
        EdgecnnError: the file is not a verification record, or cannot be read.
    """
    try:
        return schema.parse(VerificationRecord, path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EdgecnnError(f"cannot read {path}: {error.strerror}") from None
    except schema.SchemaError as error:
        raise EdgecnnError(f"{path} is not a verification record: {error}; name another --record file") from None


def write_record(path: Path, record: VerificationRecord) -> None:
    """Write a record with at most `FLIPS` flips, replacing an earlier one atomically.

    Raises:
        UsageError: the path is inside a bundle.
        EdgecnnError: the file cannot be written.
    """
    if record.agreement is not None:
        record = dataclasses.replace(record, agreement=record.agreement.limited(FLIPS))
    check_outside_bundles(path)
    write_file(path, schema.dump(record).encode())
