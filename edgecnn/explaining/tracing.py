"""Runs a bundle's graph and returns the values of its layers.

The session is opened as for serving, with the layers as additional outputs. The logits of an FP32 graph differ from
the served ones by float rounding at most. In INT8, an output inside an integer operation, such as a convolution before
its ReLU, would make the engine compute this layer in float. So these layers are read from a second session, and all
others have exactly the served values. The values from the second session can differ by a step of rounding.
"""

import contextlib
from collections.abc import Sequence

import numpy as np

from edgecnn.bundle.manifest import OUTPUT_NAME
from edgecnn.bundle.store import Bundle
from edgecnn.errors import BundleError, EngineError
from edgecnn.explaining.constants import Constants
from edgecnn.explaining.contributions import head_of
from edgecnn.explaining.graph import explained_graph, read_graph, with_outputs
from edgecnn.explaining.layers import GraphLayer, has_tensor, layers_of
from edgecnn.runtime.engines.engine import OutputsSession, Session, SessionInfo, SessionOptions, check_logits
from edgecnn.runtime.opening import open_session


class TracedGraph:
    """A bundle's graph, opened with its layers as outputs. Close it after use.

    Attributes:
        bundle: the bundle.
        layers: the layers of the graph, in the order of the data.
        constants: the constants of the graph.
        head: the last linear layer; None if the logits do not come from one.
    """

    def __init__(self, bundle: Bundle, *, engine: str = "auto", threads: int | None = None) -> None:
        """Open the graph on the CPU.

        Raises:
            UsageError: the bundle is a cascade.
            BundleError: the graph cannot be read.
            EngineError: the engine is not installed, or rejected the graph.
        """
        self.bundle = bundle
        model = _content(bundle)
        try:
            graph = read_graph(model)
        except ValueError:
            raise BundleError(f"{bundle.model} is not an ONNX graph: export it again") from None
        self.constants = Constants(graph)
        self.layers = layers_of(graph, self.constants)
        self.head = head_of(self.layers, self.constants, bundle.classes)
        served = [each.tensor for each in self.layers if has_tensor(each) and not each.is_inner]
        inner = [each.tensor for each in self.layers if each.is_inner]
        served = list(dict.fromkeys([*served, *([self.head.tensor] if self.head else [])]))
        self._sessions: list[tuple[OutputsSession, frozenset[str]]] = []
        for names in (served, inner):
            if names or not self._sessions:
                added = [name for name in names if name != OUTPUT_NAME]
                session = _opened(bundle, with_outputs(model, added), engine, threads)
                self._sessions.append((session, frozenset([*names, OUTPUT_NAME])))

    @property
    def info(self) -> SessionInfo:
        """Engine and threads of the sessions."""
        return self._sessions[0][0].info

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return the logits of uint8 [N, H, W, C] as float32 [N, K].

        Raises:
            EngineError: the engine failed, or a logit is not finite.
        """
        session, _ = self._sessions[0]
        (logits,) = session.outputs([OUTPUT_NAME], images)
        return self._checked(logits, len(images))

    def values(self, image: np.ndarray, tensors: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Return the values of tensors for one image, uint8 [H, W, C]; by default of the logits and all layers.

        The batch dimension is removed if its size is 1.

        Raises:
            EngineError: the engine failed, or a logit is not finite.
        """
        found: dict[str, np.ndarray] = {}
        for session, available in self._sessions:
            wanted = available if tensors is None else available.intersection(tensors)
            names = sorted(wanted - found.keys())
            for name, value in zip(names, session.outputs(names, image[None]) if names else [], strict=True):
                found[name] = value[0] if value.ndim and len(value) == 1 else value
        if OUTPUT_NAME in found:
            self._checked(np.atleast_2d(found[OUTPUT_NAME]), 1)
        return found

    def close(self) -> None:
        """Free the memory of the engine."""
        for session, _ in self._sessions:
            session.close()

    def _checked(self, logits: np.ndarray, images: int) -> np.ndarray:
        check_logits(logits, images, self.bundle.classes)
        if not np.isfinite(logits).all():
            raise EngineError(
                f"{self.info.engine} returned logits that are not finite: run `edgecnn verify {self.bundle.path}`"
            )
        return logits


def layer_of(traced: TracedGraph, id_: str) -> GraphLayer | None:
    """Return the layer with an id; None if the graph has none."""
    return next((each for each in traced.layers if each.id == id_), None)


def _content(bundle: Bundle) -> bytes:
    path = explained_graph(bundle)
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from None


def _opened(bundle: Bundle, model: bytes, engine: str, threads: int | None) -> OutputsSession:
    session: Session = open_session(bundle, engine=engine, options=SessionOptions(threads=threads), model=model)
    if not isinstance(session, OutputsSession):
        with contextlib.suppress(EngineError):
            session.close()
        raise EngineError(f"{session.info.engine} cannot return the values of layers: use another engine")
    return session
