"""Decoders that end the process or wait. Python imports this module at the start if its folder is in PYTHONPATH.

A PNG file of 13 pixels in width ends the process. One of 11 pixels waits while the file `hold` exists in the folder
`HELD_DECODER`, and notes its start in the file `begun`.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

from PIL import PngImagePlugin

_FOLDER = Path(os.environ["HELD_DECODER"])
_load = PngImagePlugin.PngImageFile.load


def load(self: PngImagePlugin.PngImageFile) -> Any:
    if self.width == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    if self.width == 11:
        (_FOLDER / "begun").touch()
        while (_FOLDER / "hold").exists():
            time.sleep(0.01)
    return _load(self)


PngImagePlugin.PngImageFile.load = load  # type: ignore[method-assign]
