"""Sign bundles and verify signatures. Only this file imports model-signing, which takes half a second and 50 MB.

A signature contains the SHA-256 of every file in the folder, signed with a key. The library compares the digests. The
same digests are used afterwards, so that files are not read twice with different content.
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
    """Hashes every file with the library, and keeps the digests.

    Attributes:
        has_begun: whether hashing has started; the library checks the signature before.
        digests: name to SHA-256 of each file; None until hashing is finished.
    """

    def __init__(self) -> None:
        super().__init__()
        self.set_ignored_paths(paths=(), ignore_git_paths=False)
        self.has_begun = False
        self.digests: dict[str, str] | None = None

    def hash(
        self, model_path: hashing.PathLike, *, files_to_hash: Iterable[hashing.PathLike] | None = None
    ) -> Manifest:
        """Hash the files, as in the base class."""
        self.has_begun = True
        found = super().hash(model_path, files_to_hash=files_to_hash)
        self.digests = {each.identifier: each.digest.digest_hex for each in found.resource_descriptors()}
        return found


def sign_bundle(bundle: Bundle, *, key: Path) -> bytes:
    """Return the signature of an open bundle with the private key in a PEM file. Only temporary files are written.

    Raises:
        UsageError: the key is not a supported private key.
        BundleError: the bundle has changed since it was opened.
    """
    check_private_key(key)
    hashed = _Hashing()
    with tempfile.TemporaryDirectory(prefix="edgecnn-") as folder:
        out = Path(folder) / "signature"
        signer = signing.Config().use_elliptic_key_signer(private_key=key).set_hashing_config(hashed)
        try:
            signer.sign(bundle.path.resolve(), out)
        except (OSError, ValueError) as error:  # a link or a missing file
            raise BundleError(f"cannot sign {bundle.path}: {error}") from None
        content = out.read_bytes()
    sealed = {name: entry.sha256 for name, entry in bundle.manifest.files.items()}
    if hashed.digests != sealed | {MANIFEST: bundle.digest}:
        raise DigestMismatch(f"{bundle.path} changed while it was signed, no signature is written: sign it again")
    return content


@dataclass(frozen=True)
class Signed:
    """Name and digest of a signed bundle, and the signature file."""

    name: str
    bundle: str
    signature: Path


def sign(path: Path, *, key: Path, out: Path | None = None, force: bool = False) -> Signed:
    """Sign a bundle and write the signature to a file. The bundle is not changed.

    Args:
        path: the bundle's folder.
        key: PEM file with a private key, on P-256, P-384 or P-521.
        out: the signature file; by default `BUNDLE.sig`, next to the folder.
        force: replace an existing file.

    Raises:
        BundleError: the bundle is not intact.
        UsageError: `key` is not a supported private key, or `out` is inside a bundle or not a plain file.
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
    """Verify a bundle's signature with `verify_signature`, and open the verified bundle.

    Raises:
        BundleError: the bundle is not intact, or was replaced after the verification.
    """
    return open_bundle(path, digest=verify_signature(path, key=key, signature=signature))


def signature_check(key: Path) -> Callable[[Bundle, Signature], str]:
    """Return the `check` of `install` for the public key in a PEM file. Raise `UsageError` if it contains none."""
    read_public_key(key)
    return lambda bundle, signature: check_signature(bundle.path, signature, key=key)


def verify_signature(bundle: Path, *, key: Path, signature: Path | None = None) -> str:
    """Verify the signature of a bundle with a public key.

    Args:
        bundle: the bundle's folder.
        key: PEM file with a public key.
        signature: the signature file; by default the one next to the bundle.

    Returns:
        The digest of the signed bundle. Pass it to `open_bundle`, because the folder may be replaced after this check.

    Raises:
        UsageError: `key` is not a supported public key.
        BundleError: the folder is not a bundle.
        SignatureMissing: the signature file does not exist.
        SignatureInvalid: the signature belongs to another key or bundle, or the bundle has changed.
    """
    read_public_key(key)  # an invalid key is reported before other errors
    bundle = led_to(bundle)
    if not is_bundle(bundle):
        open_bundle(bundle)  # raises an error that describes the path
    return check_signature(bundle, read_signature(signature or signature_beside(bundle), bundle=bundle), key=key)


def check_signature(bundle: Path, signature: Signature, *, key: Path) -> str:
    """Verify the content of a signature file. See `verify_signature`."""
    public_key = read_public_key(key)
    hashed = _Hashing()
    with tempfile.TemporaryDirectory(prefix="edgecnn-") as folder:
        key_copy, copy = Path(folder) / "key", Path(folder) / "signature"
        key_copy.write_bytes(public_key)
        copy.write_bytes(signature.content)
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=key_copy).set_hashing_config(hashed)
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # the library prints a note about old signatures
                verifier.verify(bundle.resolve(), copy)  # the library rejects links
        except Exception as error:  # on untrusted files the library's parser raises any kind of error
            raise _refusal(bundle, signature, key, hashed=hashed, error=error) from None
    digest = (hashed.digests or {}).get(MANIFEST)
    if digest is None:
        raise SignatureInvalid(f"{signature.path} does not cover {bundle / MANIFEST}: sign the bundle again")
    return digest


def _refusal(bundle: Path, signature: Signature, key: Path, *, hashed: _Hashing, error: Exception) -> SignatureInvalid:
    """Return the error that explains an invalid signature. The untrusted content is used only in its message."""
    place, signed = signature.path, _signed_digests(signature.content)
    if signed is None:
        return SignatureInvalid(f"{place} is damaged or not a signature of `edgecnn sign`: copy it again")
    if not hashed.has_begun:
        return SignatureInvalid(f"{place} does not match the key {key}, or was altered: use the signer's public key")
    differing = [] if hashed.digests is None else _differing(bundle, signed, hashed.digests)
    if not differing:  # a link or an unreadable file
        return SignatureInvalid(f"{bundle} does not match its signature: {' '.join(str(error).split())[:300]}")
    more = f" (and {len(differing) - 1} more)" if len(differing) > 1 else ""
    return SignatureInvalid(f"{differing[0]} the bundle was signed{more}: use the bundle that {place} belongs to")


def _differing(bundle: Path, signed: dict[str, str], found: dict[str, str]) -> list[str]:
    """Return a phrase for each file that was changed, removed or added after signing."""
    both = sorted(signed.keys() & found.keys())
    altered = [f"{bundle / name} was changed after" for name in both if found[name] != signed[name]]
    gone = [f"{bundle / name} was removed after" for name in sorted(signed.keys() - found.keys())]
    added = [f"{bundle / name} was added after" for name in sorted(found.keys() - signed.keys())]
    return altered + gone + added


def _signed_digests(content: bytes) -> dict[str, str] | None:
    """Return name and SHA-256 of the files in an unverified signature; None if it has another format."""
    try:
        payload = json.loads(base64.b64decode(json.loads(content)["dsseEnvelope"]["payload"]))
        resources = payload["predicate"]["resources"]
        digests = {str(each["name"]): str(each["digest"]) for each in resources if each["algorithm"] == "sha256"}
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return None
    return digests if len(digests) == len(resources) else None
