"""The reference of an imported bundle: an ONNX file in float."""

from dataclasses import dataclass
from typing import Literal

import onnx

from edgecnn.bundle.manifest import Scores
from edgecnn.bundle.preprocessing import Preprocessing
from edgecnn.pipeline.importing.onnx_file.adapting import Classifier, adapt
from edgecnn.pipeline.importing.onnx_file.session import OnnxSession


@dataclass(frozen=True)
class OnnxReference:
    """A `Reference` that is an ONNX file. `name` is the name of the file."""

    name: str
    classifier: Classifier
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    scores: Scores
    digest: str

    @property
    def kind(self) -> Literal["onnx"]:
        """See `Reference.kind`."""
        return "onnx"

    @property
    def network(self) -> None:
        """None: an ONNX file does not say how to build its network."""
        return

    @property
    def source_digest(self) -> None:
        """None: an ONNX file contains no code."""
        return

    @property
    def training(self) -> None:
        """None: the training images are unknown."""
        return

    @property
    def data(self) -> None:
        """None: the training data is unknown."""
        return

    def open(self, *, threads: int | None = None) -> OnnxSession:
        """See `Reference.open`."""
        return OnnxSession(self.classifier, self.preprocessing, threads=threads)

    def to_onnx(self) -> onnx.ModelProto:
        """See `Reference.to_onnx`."""
        return adapt(self.classifier, self.preprocessing)
