"""The live page: what it shows, as JSON, and when it opens and closes."""

import contextlib
import json
import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgecnn.errors import EdgecnnError, UsageError
from edgecnn.files.schema import plain
from edgecnn.pages.page import render
from edgecnn.pipeline.training.watching.samples import Samples
from edgecnn.pipeline.training.watching.site import HOST, Site

_WATCHED_S = 5.0  # a browser that has asked within this time shows the page
_LINGER_S = 3.0  # longest wait until a browser has got the end of the training


@dataclass(frozen=True)
class Figures:
    """The figures of a training.

    Attributes:
        network: the architecture.
        source: the data source as the user named it.
        epochs: number of epochs of the whole training.
        best_epoch: from 1.
        test_top1: None during training.
        history: metrics of each epoch, as dataclasses; see `Epoch`.
    """

    network: str
    source: str
    epochs: int
    best_epoch: int
    test_top1: float | None
    history: tuple[Any, ...]


class LivePage:
    """The state of a training for browsers. Its methods may be called by several threads."""

    def __init__(self) -> None:
        self.address = ""
        self._lock = threading.Condition()
        self._revision = 0
        self._state = plain(Figures("", "", 0, 0, None, ())) | {
            "phase": "preparing",
            "error": None,
            "progress": None,
            "samples": [],
        }
        self._samples: Samples | None = None
        self._asked = -math.inf  # when a browser asked last
        self._seen = -1  # the newest revision that a browser has

    @property
    def has_samples(self) -> bool:
        """Whether the page has images to show."""
        return self._samples is not None

    def take_samples(self, pixels: np.ndarray, targets: Sequence[int], labels: tuple[str, ...]) -> None:
        """Take the images to show, uint8 [N, H, W, C], the number of the label of each, and the labels."""
        self._samples = Samples(pixels, targets, labels)

    def advance(self, stage: str, done: int, total: int, note: str = "", /) -> None:
        """Show how far a stage is."""
        self._set(progress={"stage": stage, "done": done, "total": total, "note": note})

    def show(self, figures: Figures, probabilities: np.ndarray) -> None:
        """Show the epochs so far, and the probabilities of the samples, float32 [N, K]."""
        assert self._samples is not None
        self._set(phase="training", samples=plain(self._samples.judged(probabilities)), **plain(figures))

    def finish(self, figures: Figures) -> None:
        """Show the end of the training."""
        self._set(phase="finished", progress=None, **plain(figures))

    def fail(self, error: BaseException) -> None:
        """Show why the training has ended."""
        if isinstance(error, KeyboardInterrupt):
            self._set(phase="interrupted")
        else:
            known = isinstance(error, EdgecnnError | OSError)
            self._set(phase="failed", error=str(error) if known else f"{type(error).__name__}: {error}")

    def state(self) -> bytes:
        """Return the state as JSON, for a browser."""
        with self._lock:
            self._asked, self._seen = time.monotonic(), self._revision
            content = json.dumps(self._state | {"revision": self._revision}, allow_nan=False).encode()
            self._lock.notify_all()
        return content

    def pictures(self) -> bytes:
        """Return the samples as JSON: a list of data addresses of PNG files."""
        return json.dumps([] if self._samples is None else self._samples.pictures).encode()

    def wait_until_seen(self) -> None:
        """Wait until a browser that shows the page has got the last state, at most a few seconds."""
        with self._lock:
            if time.monotonic() - self._asked < _WATCHED_S:
                self._lock.wait_for(lambda: self._seen == self._revision, _LINGER_S)

    def _set(self, **values: Any) -> None:
        with self._lock:
            self._state |= values
            self._revision += 1


@contextlib.contextmanager
def live_page(port: int) -> Iterator[LivePage]:
    """Serve the live page while the block runs, at http://127.0.0.1:PORT/; 0 is any free port.

    Raises:
        UsageError: the port is in use, or is not permitted.
    """
    page = LivePage()
    document = render(
        __package__, "watch.html", scripts=("watch.js",), styles=("watch.css",), charts=True, live=True, data=None
    )
    try:
        site = Site(port, document, {"/state": page.state, "/pictures": page.pictures})
    except OSError as error:
        raise UsageError(f"--watch {port}: {error.strerror}; choose another port, or 0 for any") from None
    page.address = f"http://{HOST}:{site.server_port}/"
    thread = threading.Thread(target=site.serve_forever, name="live page", daemon=True)
    thread.start()
    try:
        yield page
    except BaseException as error:
        page.fail(error)
        raise
    finally:
        page.wait_until_seen()
        site.shutdown()
        site.server_close()
