"""Records of what was measured after a bundle was sealed: on this device, on another day.

A bundle never changes, so its verification record lies elsewhere: in `$XDG_STATE_HOME/edgecnn/verifications` unless a
file is named. A record names the digest of the bundle that it is about; about any other bundle it is stale.
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
from edgecnn.runtime.engines.backend import SessionInfo
from edgecnn.runtime.verification.agreement import Agreement
from edgecnn.runtime.verification.batch_mates import BatchMates
from edgecnn.runtime.verification.replay import SelfTestResult

FLIPS = 1000
"""How many flips a record keeps: more tell nobody more, and ImageNet's could fill megabytes."""


@dataclass(frozen=True)
class VerificationRecord:
    """One verification of one bundle on one engine.

    Attributes:
        bundle: digest of the bundle that was verified.
        name: its name.
        measured: UTC time, ISO 8601.
        session: what ran.
        self-test: what replaying the self-test has shown.
        data: the images of the comparison, or None where none was asked for.
        reference: digest of the checkpoint that the comparison was held against, or None.
        comparison: the comparison, or None.
        holds: whether the proof held.
        agreement: the comparison's statistics, or None.
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
    """Return the default place of a bundle's record on an engine; a rebuilt bundle of that name has the same.

    Raises:
        EdgecnnError: this user has no home folder, and `XDG_STATE_HOME` is not set.
    """
    return state_folder() / "verifications" / f"{bundle.manifest.name}.{engine}.json"


def read_record(path: Path) -> VerificationRecord | None:
    """Read a record; None where there is none.

    Raises:
        EdgecnnError: the file is something else.
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
    """Write a record, replacing an earlier one in one step; it keeps the first `FLIPS` flips.

    Raises:
        UsageError: the place lies inside a bundle.
        EdgecnnError: the system refused.
    """
    if record.agreement is not None:
        record = dataclasses.replace(record, agreement=record.agreement.limited(FLIPS))
    check_outside_bundles(path)
    write_file(path, schema.dump(record).encode())
