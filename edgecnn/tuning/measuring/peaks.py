"""The peak of this machine, measured in a process of its own: `python -m edgecnn.tuning.measuring.peaks INT8 THREADS`.

It runs engines, and an engine that crashes must not take a benchmark along.
"""

import json
import subprocess
import sys

from edgecnn.errors import EdgecnnError
from edgecnn.files import schema
from edgecnn.host.child import child_command, child_environment
from edgecnn.tuning.measuring.peak import Peak, PeakPrecision, machine_peak

_MODULE = "edgecnn.tuning.measuring.peaks"
_TIMEOUT_S = 60.0


def peak_apart(precision: PeakPrecision, threads: int) -> float | None:
    """Measure how many operations a second this machine reaches; None where nothing here computes in that precision."""
    command = child_command(_MODULE, precision, str(threads))
    try:
        done = subprocess.run(
            command, env=child_environment(), capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
        return schema.parse(Peak, done.stdout.splitlines()[-1]).ops_per_s if done.stdout else None
    except (subprocess.TimeoutExpired, schema.SchemaError):
        return None


def main() -> None:
    """Measure what the command line names, and answer on the last line of stdout; with nothing where it cannot be."""
    precision, threads = sys.argv[1:]
    try:
        found = machine_peak(precision, int(threads))  # type: ignore[arg-type]  # the parent has a typed one
    except EdgecnnError:
        return
    print(json.dumps(schema.plain(found)))  # noqa: T201  # it is the answer


if __name__ == "__main__":
    main()
