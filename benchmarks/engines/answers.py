"""Run a way of `levers.py` on images in a separate process, and write its logits.

python -m benchmarks.engines.answers PATH SETTING PIXELS.npy OUT.npy
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.engines.peers import bundle_path, enter_peers_python, open_peer
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.bundle.store import open_bundle
from edgecnn.files import schema
from edgecnn.host.child import child_command, child_environment, last_line
from edgecnn.runtime.classifier import run_batches
from edgecnn.runtime.opening import open_session
from edgecnn.runtime.setting import Setting

MODULE = "benchmarks.engines.answers"


def logits_of(path: Path, setting: Setting, pixels: Path, out: Path) -> np.ndarray:
    """Return the logits, float32 [N, K]. An earlier file is used if it is not older than the model.

    Args:
        path: a bundle, or a peer's model.
        setting: how to open it.
        pixels: file of the images, uint8 [N, H, W, C].
        out: file of the logits.

    Raises:
        RuntimeError: the process failed. The message is the last line of its output.
    """
    model = open_bundle(path).model if path.is_dir() else path
    wanted = len(np.load(pixels, mmap_mode="r"))
    found: np.ndarray
    if out.exists() and out.stat().st_mtime >= model.stat().st_mtime:
        found = np.load(out)
        if len(found) == wanted:
            return found
    out.parent.mkdir(parents=True, exist_ok=True)
    command = child_command(MODULE, str(path), json.dumps(schema.plain(setting)), str(pixels), str(out))
    done = subprocess.run(command, env=child_environment(), stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise RuntimeError(f"{path.name}: {last_line(done.stderr)}")
    found = np.load(out)
    return found


def normalised(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Convert pixels, uint8 [N, H, W, C], to the peers' input, float32 [N, C, H, W]."""
    mean, std = (np.array(each, np.float32) for each in (preprocessing.mean, preprocessing.std))
    scaled = (pixels.astype(np.float32) / 255 - mean) / std
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def _answer(path: Path, setting: Setting, pixels: np.ndarray) -> np.ndarray:
    if path.is_dir():
        bundle = open_bundle(path)
        session = open_session(bundle, engine=setting.engine, options=setting.options)
        return run_batches(session, pixels, classes=len(bundle.manifest.labels))
    preprocessing = open_bundle(bundle_path(path.parent, "fp32")).manifest.preprocessing
    peer = open_peer(path, setting)
    images = (normalised(pixels[index : index + 1], preprocessing) for index in range(len(pixels)))
    # A copy: some tools return their own memory, and use it again.
    return np.concatenate([np.array(peer.logits(peer.call(peer.prepare(image)))) for image in images])


if __name__ == "__main__":
    chosen = schema.parse(Setting, sys.argv[2])
    enter_peers_python(MODULE, chosen.engine)
    np.save(sys.argv[4], _answer(Path(sys.argv[1]), chosen, np.load(sys.argv[3], mmap_mode="r")))
