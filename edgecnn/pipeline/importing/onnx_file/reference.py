"""The reference of an imported bundle: an ONNX file in float."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import onnx

from edgecnn.bundle.manifest import Scores
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.pipeline.importing.onnx_file.adapting import Classifier, adapt
from edgecnn.pipeline.importing.onnx_file.session import OnnxSession


@dataclass(frozen=True)
class OnnxReference:
    """A `Reference` that is an ONNX file. `name` is the name of the file.

    A file does not say how to build its network or what it was trained with, and contains no code.
    """

    kind: ClassVar[Literal["onnx"]] = "onnx"
    network: ClassVar[None] = None
    source_digest: ClassVar[None] = None
    training: ClassVar[None] = None
    data: ClassVar[None] = None
    held_out: ClassVar[None] = None
    reserved: ClassVar[float] = 0.0
    name: str
    classifier: Classifier
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    scores: Scores
    digest: str

    def open(self, *, threads: int | None = None) -> OnnxSession:
        """See `Reference.open`."""
        return OnnxSession(self.classifier, self.preprocessing, threads=threads)

    def to_onnx(self) -> onnx.ModelProto:
        """See `Reference.to_onnx`."""
        return adapt(self.classifier, self.preprocessing)
