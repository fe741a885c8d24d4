"""Profiles: the settings that `edgecnn tune` chose on this machine, in `$XDG_CACHE_HOME/edgecnn/profiles`.

A profile is valid on the hardware and engine versions on which it was recorded. Elsewhere it is stale and is ignored,
like a damaged file. Only `measured_at` comes from the system clock, and nothing depends on it.
"""

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgecnn.bundle.store import Bundle
from edgecnn.errors import EdgecnnError, ProfileWarning
from edgecnn.files import schema
from edgecnn.files.file import write_file
from edgecnn.files.places import cache_folder
from edgecnn.runtime.rates import Estimate
from edgecnn.runtime.setting import Setting
from edgecnn.runtime.site import Site, this_site

Purpose = Literal["latency", "throughput"]
FORMAT = 1


@dataclass(frozen=True)
class Chosen:
    """The best setting of a bundle, which is identified by its digest.

    `figure` is the median time of one image in milliseconds for `latency`, or images per second for `throughput`.
    """

    bundle: str
    setting: Setting
    figure: Estimate


@dataclass(frozen=True)
class Profile:
    """The tuning result for the bundles of one reference.

    Attributes:
        format: version of the file format.
        site: hardware and engine versions.
        reference: digest of the PyTorch reference.
        purpose: `latency` or `throughput`.
        measured_at: UTC time, ISO 8601.
        max_drop: largest allowed drop, in percentage points of top-1.
        bundles: digest to name, for all bundles that were considered.
        choice: the best bundle and setting.
        best: digest to the best setting, for each bundle whose self-test passes with it.
        conclusion: the choice in one sentence.
    """

    format: int
    site: Site
    reference: str
    purpose: Purpose
    measured_at: str
    max_drop: float
    bundles: dict[str, str]
    choice: Chosen
    best: dict[str, Chosen]
    conclusion: str

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"format is {self.format}, this edgecnn reads {FORMAT}")
        for digest, chosen in (*self.best.items(), (self.choice.bundle, self.choice)):
            setting = chosen.setting
            if chosen.bundle != digest or digest not in self.bundles:
                raise ValueError(f"the chosen bundle was not measured: {chosen.bundle}")
            if setting.engine not in self.site.engines or (setting.device, setting.precision) != ("cpu", "fp32"):
                raise ValueError(f"the chosen setting was not measured: {setting}")


def profile_path(reference: str, purpose: Purpose) -> Path:
    """Return the path of the profile of a reference's bundles.

    Raises:
        EdgecnnError: this user has no home folder.
    """
    name = hashlib.sha256(reference.encode()).hexdigest()[:32]  # a manifest is untrusted input
    return cache_folder() / "profiles" / f"{name}.{purpose}.json"


def write_profile(profile: Profile) -> Path:
    """Write a profile, replacing an earlier one atomically. Return its path.

    Raises:
        EdgecnnError: the file cannot be written.
    """
    path = profile_path(profile.reference, profile.purpose)
    write_file(path, schema.dump(profile).encode())
    return path


def read_profile(reference: str, purpose: Purpose) -> tuple[Profile | None, str]:
    """Return the profile that is valid on this machine, or None and the reason.

    The reason is empty if the file does not exist. Otherwise the file is damaged or stale.
    """
    try:
        path = profile_path(reference, purpose)
        profile = schema.parse(Profile, path.read_bytes())
    except FileNotFoundError:
        return None, ""
    except (OSError, EdgecnnError) as error:
        return None, f"the profile cannot be read: {error}"
    except schema.SchemaError as error:
        return None, f"{path} is not a valid profile: {error}"
    if (profile.reference, profile.purpose) != (reference, purpose):
        return None, f"{path} belongs to another reference"
    difference = this_site().difference(profile.site)
    if difference is not None:
        return None, f"the profile of {profile.measured_at} is stale: {difference}"
    return profile, ""


def tuned_setting(bundle: Bundle, purpose: Purpose) -> Setting | None:
    """Return the best setting of a bundle here, or None. Issue a `ProfileWarning` for a stale or damaged profile."""
    profile, reason = read_profile(bundle.manifest.reference.digest, purpose)
    if reason:
        warnings.warn(f"ignoring the profile: {reason}; run `edgecnn tune` again", ProfileWarning, stacklevel=3)
    best = profile.best.get(bundle.digest) if profile else None
    return best.setting if best else None
