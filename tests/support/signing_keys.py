"""Key pairs made with openssl as in docs/signing.md, and signatures."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from repository import REPOSITORY

from edgecnn.archive.openssf import sign_bundle
from edgecnn.bundle.finding import signature_beside
from edgecnn.bundle.store import open_bundle


@dataclass(frozen=True)
class Keys:
    """A key pair."""

    private: Path
    public: Path

    def sign(self, bundle: Path, *, at: Path | None = None) -> Path:
        """Sign a bundle; return the signature's path."""
        place = at or signature_beside(bundle)
        place.write_bytes(sign_bundle(open_bundle(bundle), key=self.private))
        return place


def make_keys(folder: Path, *, curve: str = "P-256") -> Keys:
    """Run the commands of docs/signing.md in a new folder."""
    folder.mkdir(parents=True)
    commands = re.findall(r"^openssl .*$", (REPOSITORY / "docs" / "signing.md").read_text(), re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        openssl(folder, *command.replace("P-256", curve).split()[1:])
    return Keys(folder / "private.pem", folder / "public.pem")


def openssl(folder: Path, *arguments: str) -> None:
    """Run openssl in a folder."""
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
