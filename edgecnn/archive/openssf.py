"""Signs bundles and verifies signatures: the one file that imports model-signing, which takes half a second and 50 MB.

Its signature is a statement of the sha256 of every file in the folder, signed with a key. It is compared by the library
alone; what was compared is what we go on with, so that no second reading of either file can differ.
"""

import base64
import contextlib
import io
import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from model_signing import hashing, signing, verifying
from model_signing.manifest import Manifest

from edgecnn.archive.keys import check_private_key, read_public_key
from edgecnn.archive.signature import Signature, read_signature
from edgecnn.bundle.finding import MANIFEST, check_outside_bundles, is_bundle, led_to, signature_beside
from edgecnn.bundle.store import Bundle, open_bundle
from edgecnn.errors import BundleError, DigestMismatch, SignatureInvalid
from edgecnn.files.file import new_file
from edgecnn.files.folder import write_new_file


class _Hashing(hashing.Config):
    """The library's sha256 of every file, without exception, kept for us.

    Attributes:
        has_begun: whether it was asked for; a signature is looked at before.
        digests: name to sha256 of each file; None until all are known.
    """

    def __init__(self) -> None:
        super().__init__()
        self.set_ignored_paths(paths=(), ignore_git_paths=False)
        self.has_begun = False
        self.digests: dict[str, str] | None = None

    def hash(
        self, model_path: hashing.PathLike, *, files_to_hash: Iterable[hashing.PathLike] | None = None
    ) -> Manifest:
        """See the library."""
        self.has_begun = True
        found = super().hash(model_path, files_to_hash=files_to_hash)
        self.digests = {each.identifier: each.digest.digest_hex for each in found.resource_descriptors()}
        return found


def sign_bundle(bundle: Bundle, *, key: Path) -> bytes:
    """Return a signature of an open bundle with the private key in a PEM file; only temporary files are written.

    Raises:
        UsageError: the key cannot sign.
        BundleError: the bundle has changed since it was opened.
    """
    check_private_key(key)
    hashed = _Hashing()
    with tempfile.TemporaryDirectory(prefix="edgecnn-") as folder:
        out = Path(folder) / "signature"
        signer = signing.Config().use_elliptic_key_signer(private_key=key).set_hashing_config(hashed)
        try:
            signer.sign(bundle.path.resolve(), out)
        except (OSError, ValueError) as error:  # a link, or a file that has gone
            raise BundleError(f"{bundle.path} cannot be signed: {error}") from None
        content = out.read_bytes()
    sealed = {name: entry.sha256 for name, entry in bundle.manifest.files.items()}
    if hashed.digests != sealed | {MANIFEST: bundle.digest}:
        raise DigestMismatch(f"{bundle.path} has changed while it was signed: nothing was written")
    return content


@dataclass(frozen=True)
class Signed:
    """What was signed: name and digest of the bundle, and the signature's file."""

    name: str
    bundle: str
    signature: Path


def sign(path: Path, *, key: Path, out: Path | None = None, force: bool = False) -> Signed:
    """Sign a bundle and write the signature to a file; the bundle is only read.

    Args:
        path: the bundle's folder.
        key: PEM file with a private key, on P-256, P-384 or P-521.
        out: the signature's file; by default `BUNDLE.sig`, beside the folder.
        force: replace an existing file.

    Raises:
        BundleError: it is not an intact bundle.
        UsageError: `key` cannot sign, or `out` is inside a bundle or not a plain file.
        OutputExists: `out` exists and `force` is false.
        EdgecnnError: the file cannot be written.
    """
    bundle = open_bundle(path)
    place = out or signature_beside(path)
    check_outside_bundles(place)
    with new_file(place, force=force) as new:
        write_new_file(new, (sign_bundle(bundle, key=key),))
    return Signed(bundle.manifest.name, bundle.digest, place)


def open_signed(path: Path, *, key: Path, signature: Path | None = None) -> Bundle:
    """Verify a bundle's signature as `verify_signature` does, and open that very bundle.

    Raises:
        BundleError: it is not an intact bundle, or not the one whose signature was verified.
    """
    return open_bundle(path, digest=verify_signature(path, key=key, signature=signature))


def signature_check(key: Path) -> Callable[[Bundle, Signature], str]:
    """Return the check that `install` takes, with the public key in a PEM file; raises `UsageError` if it has none."""
    read_public_key(key)
    return lambda bundle, signature: check_signature(bundle.path, signature, key=key)


def verify_signature(bundle: Path, *, key: Path, signature: Path | None = None) -> str:
    """Prove that the owner of a key has signed a bundle as it stands there.

    Args:
        bundle: its folder.
        key: PEM file with a public key.
        signature: its file; by default the one beside the bundle.

    Returns:
        The digest of the bundle that was signed. Whoever opens it afterwards requires the same of what is opened: see
        `open_bundle`.

    Raises:
        UsageError: it is no key to verify with.
        BundleError: there is no bundle.
        SignatureMissing: there is no signature.
        SignatureInvalid: it is another key's, another bundle's, or the bundle has been altered; a file is named.
    """
    read_public_key(key)  # what is wrong with it is said first
    bundle = led_to(bundle)
    if not is_bundle(bundle):
        open_bundle(bundle)  # it says what stands there instead
    return check_signature(bundle, read_signature(signature or signature_beside(bundle), bundle=bundle), key=key)


def check_signature(bundle: Path, signature: Signature, *, key: Path) -> str:
    """Verify a signature that has been read; see `verify_signature`."""
    public_key = read_public_key(key)
    hashed = _Hashing()
    with tempfile.TemporaryDirectory(prefix="edgecnn-") as folder:
        key_copy, copy = Path(folder) / "key", Path(folder) / "signature"
        key_copy.write_bytes(public_key)
        copy.write_bytes(signature.content)
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=key_copy).set_hashing_config(hashed)
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # the library prints a remark on old signatures
                verifier.verify(bundle.resolve(), copy)  # it takes no link for a folder
        except Exception as error:  # its reader raises whatever Python does on a file that anybody may have written
            raise _refusal(bundle, signature, key, hashed=hashed, error=error) from None
    digest = (hashed.digests or {}).get(MANIFEST)
    if digest is None:
        raise SignatureInvalid(f"{signature.path} is a signature that leaves out {bundle / MANIFEST}")
    return digest


def _refusal(bundle: Path, signature: Signature, key: Path, *, hashed: _Hashing, error: Exception) -> SignatureInvalid:
    """Say why a signature does not hold; what is read of it here goes into the message and nowhere else."""
    place, signed = signature.path, _signed_digests(signature.content)
    if signed is None:
        return SignatureInvalid(f"{place} is no signature that `edgecnn sign` has written, or is damaged")
    if not hashed.has_begun:
        return SignatureInvalid(f"{place} was not made with the private key of {key}, or has been altered")
    differing = [] if hashed.digests is None else _differing(bundle, signed, hashed.digests)
    if not differing:  # a link, a file that cannot be read
        return SignatureInvalid(f"{bundle} is not what was signed: {' '.join(str(error).split())[:300]}")
    more = f" (and {len(differing) - 1} more)" if len(differing) > 1 else ""
    return SignatureInvalid(f"{differing[0]} the bundle was signed{more}: take the bundle that {place} belongs to")


def _differing(bundle: Path, signed: dict[str, str], found: dict[str, str]) -> list[str]:
    """Name the files that differ from those that were signed: altered, added, taken away."""
    both = sorted(signed.keys() & found.keys())
    altered = [f"{bundle / name} has changed since" for name in both if found[name] != signed[name]]
    gone = [f"{bundle / name} has gone since" for name in sorted(signed.keys() - found.keys())]
    added = [f"{bundle / name} was not there when" for name in sorted(found.keys() - signed.keys())]
    return altered + gone + added


def _signed_digests(content: bytes) -> dict[str, str] | None:
    """Return name and sha256 of the files that a signature is about, as it says; None where it is none of ours."""
    try:
        payload = json.loads(base64.b64decode(json.loads(content)["dsseEnvelope"]["payload"]))
        resources = payload["predicate"]["resources"]
        digests = {str(each["name"]): str(each["digest"]) for each in resources if each["algorithm"] == "sha256"}
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return None
    return digests if len(digests) == len(resources) else None
