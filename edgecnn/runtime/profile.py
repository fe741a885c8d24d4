"""What `edgecnn tune` has found on this machine, kept in `$XDG_CACHE_HOME/edgecnn/profiles`.

A profile holds where it was measured: on this processor, with these cores, by these versions of the engines. Anywhere
else it is stale and says nothing; so does a file that is damaged. Times are monotonic: no clock that jumps is in it but
for the moment at which it was written, which nothing depends on.
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
    """The best setting of a bundle, named by its digest.

    `figure` is the median in milliseconds of one image for `latency`, images a second for `throughput`.
    """

    bundle: str
    setting: Setting
    figure: Estimate


@dataclass(frozen=True)
class Profile:
    """What was found for the bundles of one reference.

    Attributes:
        format: version of this file.
        site: where it was measured.
        reference: digest of the PyTorch reference.
        purpose: what was asked for.
        measured_at: UTC time, ISO 8601.
        max_drop: points of top-1 that a bundle was allowed to lose.
        bundles: digest to name, of all that were considered.
        choice: the best of all.
        best: digest to the best setting of each bundle whose self-test holds under it.
        verdict: the choice in a sentence.
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
    verdict: str

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"format is {self.format}, this edgecnn reads {FORMAT}")
        for digest, chosen in (*self.best.items(), (self.choice.bundle, self.choice)):
            setting = chosen.setting
            if chosen.bundle != digest or digest not in self.bundles:
                raise ValueError(f"a bundle was chosen that was not measured: {chosen.bundle}")
            if setting.backend not in self.site.engines or (setting.device, setting.precision) != ("cpu", "fp32"):
                raise ValueError(f"a setting was chosen that was not measured: {setting}")


def profile_path(reference: str, purpose: Purpose) -> Path:
    """Return where the profile of a reference's bundles lies.

    Raises:
        EdgecnnError: this user has no home folder.
    """
    name = hashlib.sha256(reference.encode()).hexdigest()[:32]  # the manifest may have been written by others
    return cache_folder() / "profiles" / f"{name}.{purpose}.json"


def write_profile(profile: Profile) -> Path:
    """Write a profile, replacing an earlier one in one step; returns its place.

    Raises:
        EdgecnnError: the system refused.
    """
    path = profile_path(profile.reference, profile.purpose)
    write_file(path, schema.dump(profile).encode())
    return path


def read_profile(reference: str, purpose: Purpose) -> tuple[Profile | None, str]:
    """Read the profile that holds here; None where there is none, and where there is a file all the same, why.

    One that is damaged, or that another machine or another version of an engine made, is none.
    """
    try:
        path = profile_path(reference, purpose)
        profile = schema.parse(Profile, path.read_bytes())
    except FileNotFoundError:
        return None, ""
    except (OSError, EdgecnnError) as error:
        return None, f"the profile cannot be read: {error}"
    except schema.SchemaError as error:
        return None, f"{path} is no profile: {error}"
    if (profile.reference, profile.purpose) != (reference, purpose):
        return None, f"{path} is the profile of another reference"
    difference = this_site().difference(profile.site)
    if difference is not None:
        return None, f"the profile of {profile.measured_at} is stale: {difference}"
    return profile, ""


def tuned_setting(bundle: Bundle, purpose: Purpose) -> Setting | None:
    """Return how a bundle runs best here, if that was measured and still holds; else say so with a `ProfileWarning`."""
    profile, reason = read_profile(bundle.manifest.reference.digest, purpose)
    if reason:
        warnings.warn(f"{reason}; it is not used, `edgecnn tune` makes a new one", ProfileWarning, stacklevel=3)
    best = profile.best.get(bundle.digest) if profile else None
    return best.setting if best else None
