"""Opening graphs with their weights on huge pages."""

import mmap

import numpy as np
import pytest

from edgecnn.errors import EngineError
from edgecnn.host.huge_pages import VARIABLE, on_huge_pages_bytes, why_no_huge_pages
from edgecnn.runtime import weight_pages
from edgecnn.runtime.engines.engine import SessionOptions
from edgecnn.runtime.weight_pages import LEAST_BYTES, open_on_huge_pages


class Packing:
    """An engine, and its session, whose first run allocates the packed weights."""

    packs_in_first_run = True

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.shapes: list[tuple[int, ...]] = []
        self.weights = np.empty(0, np.uint8)

    def open(self, model: bytes, options: SessionOptions) -> "Packing":
        return self

    def run(self, images: np.ndarray) -> None:
        self.shapes.append(images.shape)
        if self.fails:
            raise EngineError("no memory")
        memory = mmap.mmap(-1, 16 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.weights = np.frombuffer(memory, np.uint8)
        self.weights[:] = 1


def opened(engine: Packing, *, size_bytes: int = LEAST_BYTES, device: str = "cpu") -> Packing:
    options = SessionOptions(device=device)
    return open_on_huge_pages(engine, b"", options, size_bytes=size_bytes, image_shape=(8, 8, 3))


@pytest.fixture(autouse=True)
def used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_pages, "why_no_huge_pages", lambda: None)


def test_weights_of_the_first_run_are_moved():
    if why_no_huge_pages() is not None:
        pytest.skip(f"{why_no_huge_pages()}")
    before = on_huge_pages_bytes()
    session = opened(Packing())
    assert session.shapes == [(1, 8, 8, 3)]
    assert before is not None
    assert (on_huge_pages_bytes() or 0) > before


def test_small_graphs_and_other_devices_are_not_run():
    assert opened(Packing(), size_bytes=LEAST_BYTES - 1).shapes == []
    assert opened(Packing(), device="cuda:0").shapes == []


def test_the_variable_leaves_the_weights_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(weight_pages, "why_no_huge_pages", why_no_huge_pages)
    monkeypatch.setenv(VARIABLE, "0")
    assert opened(Packing()).shapes == []


def test_an_engine_that_packs_in_open_is_not_run():
    engine = Packing()
    engine.packs_in_first_run = False
    assert opened(engine).shapes == []


def test_a_failing_first_run_is_left_to_the_caller():
    with pytest.raises(EngineError):
        opened(Packing(fails=True)).run(np.zeros((1, 8, 8, 3), np.uint8))
