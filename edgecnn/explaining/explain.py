"""Explain what a bundle computes for one image."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.bundle.decoding import ImageLike
from edgecnn.bundle.manifest import OUTPUT_NAME
from edgecnn.bundle.store import Bundle
from edgecnn.errors import UsageError
from edgecnn.explaining.explanation import Attention, Explanation, FeatureMap, Layer, Note, Picture
from edgecnn.explaining.maps import LayerValues, values_of
from edgecnn.explaining.memory import batch_of
from edgecnn.explaining.occlusion import attention_of, occlude
from edgecnn.explaining.pictures import LARGEST_SIDE, encoded, fitting_side, short
from edgecnn.explaining.rows import last_row, row_of
from edgecnn.explaining.tracing import TracedGraph, layer_of
from edgecnn.hints import did_you_mean, few, shown
from edgecnn.prediction import probabilities_of, wrong_images
from edgecnn.progress import Progress, silent

_MOST_CLASSES, _MOST_CONTRIBUTIONS = 20, 5


@dataclass(frozen=True)
class ExplainOptions:
    """What an explanation contains.

    Attributes:
        maps: the number of maps of each layer.
        largest_side: largest side of the picture of a map, in pixels.
        pixels: most pixels of all pictures of maps together: for a network with many layers, they become smaller than
            `largest_side`, but not below 14 pixels.
        attended: the number of classes, the most probable first, for which occlusion runs.
        classes: names or numbers of further classes for contributions and occlusion. A name has precedence.
    """

    maps: int = 16
    largest_side: int = LARGEST_SIDE
    pixels: int = 2_000_000
    attended: int = 3
    classes: tuple[str | int, ...] = ()


DEFAULT = ExplainOptions()


class Explainer:
    """A bundle, opened to explain it. Several threads can use it at once. Close it after use."""

    def __init__(
        self, bundle: Bundle, compared: Bundle | None = None, *, engine: str = "auto", threads: int | None = None
    ) -> None:
        """Open the graph, and that of the compared bundle, with their layers as outputs.

        Args:
            bundle: the bundle to explain.
            compared: another bundle of the same reference, such as the FP32 parent of an INT8 bundle.
            engine: `auto`, `onnxruntime` or `openvino`.
            threads: threads of one run; None for the usable cores.

        Raises:
            UsageError: the bundles come from different references, or one is a cascade.
            BundleError: a graph cannot be read.
            EngineError: the engine is not installed, or rejected a graph.
        """
        if compared is not None and compared.manifest.reference.digest != bundle.manifest.reference.digest:
            names = f"{bundle.manifest.name} and {compared.manifest.name}"
            raise UsageError(f"{names} come from different references: compare bundles of one network")
        self.bundle = bundle
        self._own = TracedGraph(bundle, engine=engine, threads=threads)
        self._other = None if compared is None else TracedGraph(compared, engine=engine, threads=threads)
        self._occlusion: tuple[np.ndarray, np.ndarray] | None = None  # the last image, and the drops of all classes
        precisions = [each.manifest.precision for each in (bundle, compared) if each is not None]
        self._is_other_exact = "fp32" in precisions[1:] and precisions[0] != "fp32"

    def explain(self, image: np.ndarray, options: ExplainOptions = DEFAULT, progress: Progress = silent) -> Explanation:
        """Explain the answer to a preprocessed image, uint8 [H, W, C].

        Raises:
            UsageError: the image has another shape or dtype, or a class is unknown.
            EngineError: the engine failed.
        """
        self._check(image)
        manifest = self.bundle.manifest
        chosen = class_numbers(options.classes, manifest.labels)
        own = self._own.values(image)
        other = {} if self._other is None else self._other.values(image)
        logits = own[OUTPUT_NAME]
        probabilities = probabilities_of(logits, manifest.scores)
        order = np.argsort(-logits, kind="stable")[:_MOST_CLASSES].tolist()
        layers = self._rows(own, other, options, progress)
        head, preprocessing = self._own.head, manifest.preprocessing
        return Explanation(
            model=manifest.name,
            digest=self.bundle.digest,
            engine=f"{self._own.info.engine} {self._own.info.version}",
            compared=None if self._other is None else self._other.bundle.manifest.name,
            image=_picture(image),
            mean=tuple(short(255 * each) for each in preprocessing.mean),
            deviation=tuple(short(255 * each) for each in preprocessing.std),
            labels=manifest.labels,
            logits=tuple(short(float(each)) for each in logits),
            probabilities=tuple(short(float(each)) for each in probabilities),
            order=tuple(order),
            layers=(*layers, last_row(layers, probabilities, manifest.scores)),
            contributions=()
            if head is None
            else tuple(
                head.contributions(own[head.tensor], target) for target in _first(order[:_MOST_CONTRIBUTIONS], chosen)
            ),
            attention=self._occluded(image, _first(order[: options.attended], chosen), progress),
            notes=tuple(self._notes([*own.values(), *other.values()])),
        )

    def maps(self, image: np.ndarray, layer_id: str, first: int, count: int) -> tuple[FeatureMap, ...]:
        """Return more maps of a layer, in the order of their strength; none if the layer has no maps.

        Args:
            image: preprocessed image, uint8 [H, W, C].
            layer_id: `Layer.id`.
            first: number of the first map, from 0.
            count: number of maps.

        Raises:
            UsageError: the layer is unknown, a number is negative, or the image has another shape or dtype.
            EngineError: the engine failed.
        """
        self._check(image)
        if first < 0 or count < 0:
            raise UsageError(f"first and count must be at least 0, found {first} and {count}")
        layer = layer_of(self._own, layer_id)
        if layer is None:
            raise UsageError(f"unknown layer {layer_id[:100]!r}: use the id of a layer of the explanation")
        own = self._own.values(image, [layer.tensor])
        values = self._values(layer_id, own, {} if self._other is None else self._other.values(image))
        if values is None or not values.is_maps:
            return ()
        return values.maps(values.strongest(first, count), LARGEST_SIDE)

    def attend(self, image: np.ndarray, target: int, progress: Progress = silent) -> Attention:
        """Return where the network looks for a class, by occlusion.

        Other classes of the same image need no further runs.

        Raises:
            UsageError: the class number is not valid, or the image has another shape or dtype.
            EngineError: the engine failed.
        """
        self._check(image)
        class_numbers([target], range(self.bundle.classes))
        (attention,) = self._occluded(image, [target], progress)
        return attention

    def close(self) -> None:
        """Free the memory of the engine."""
        self._own.close()
        if self._other is not None:
            self._other.close()

    def _rows(
        self, own: dict[str, np.ndarray], other: dict[str, np.ndarray], options: ExplainOptions, progress: Progress
    ) -> tuple[Layer, ...]:
        rows: list[Layer] = []
        side = self._side(own, options)
        for number, layer in enumerate(self._own.layers, 1):
            values = self._values(layer.id, own, other)
            before = [each.shape for each in rows if each.id in layer.inputs]
            is_first = all(each.operation != "conv" for each in rows)
            rows.append(
                row_of(
                    layer,
                    values,
                    before,
                    self._own.constants,
                    maps=options.maps,
                    largest_side=side,
                    with_kernel_values=is_first and self.bundle.manifest.preprocessing.channels in (1, 3),
                )
            )
            progress("layers", number, len(self._own.layers))
        return tuple(rows)

    def _side(self, own: dict[str, np.ndarray], options: ExplainOptions) -> int:
        """Return the largest side of a picture."""
        shapes = [own[each.tensor].shape for each in self._own.layers if each.tensor in own]
        copies = 1 if self._other is None else 2
        maps = [(copies * min(options.maps, shape[0]), shape[1], shape[2]) for shape in shapes if len(shape) == 3]
        return fitting_side(maps, options.largest_side, options.pixels)

    def _values(self, id_: str, own: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> LayerValues | None:
        """Return the output of a layer in both bundles; None if it is not a tensor of numbers."""
        layer = layer_of(self._own, id_)
        same = None if self._other is None else layer_of(self._other, id_)
        value = None if layer is None else own.get(layer.tensor)
        if value is None or value.dtype.kind not in "fiub":
            return None
        compared = None if same is None else other.get(same.tensor)
        return values_of(value, compared, is_other_exact=self._is_other_exact)

    def _occluded(self, image: np.ndarray, targets: list[int], progress: Progress) -> tuple[Attention, ...]:
        if not targets:
            return ()
        known = self._occlusion
        if known is None or not np.array_equal(known[0], image):
            known = self._occlusion = (image.copy(), self._drops(image, progress))
        return tuple(attention_of(known[1], target) for target in targets)

    def _drops(self, image: np.ndarray, progress: Progress) -> np.ndarray:
        manifest = self.bundle.manifest
        gray = [min(255, max(0, round(255 * each))) for each in manifest.preprocessing.mean]
        batch = batch_of(self._own.layers, manifest.image_shape, self._own.constants)
        return occlude(
            lambda images: probabilities_of(self._own.logits(images), manifest.scores),
            image,
            gray,
            batch=batch,
            progress=progress,
        )

    def _notes(self, values: list[np.ndarray]) -> Iterable[Note]:
        if any(each.is_inner for graph in (self._own, self._other) if graph for each in graph.layers):
            yield "inner-rounding"
        if self._own.head is None:
            yield "no-contributions"
        if self.bundle.manifest.preprocessing.channels not in (1, 3):
            yield "alpha-left-out"
        own, other = ({each.id for each in graph.layers} if graph else None for graph in (self._own, self._other))
        if other is not None and own != other:
            yield "layers-differ"
        if not all(np.isfinite(each).all() for each in values if each.dtype.kind == "f"):
            yield "not-finite"

    def _check(self, image: np.ndarray) -> None:
        shape = self.bundle.manifest.image_shape
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != shape:
            raise wrong_images(image, shape)


def explain(
    bundle: Bundle,
    image: ImageLike,
    *,
    compared: Bundle | None = None,
    options: ExplainOptions = DEFAULT,
    engine: str = "auto",
    threads: int | None = None,
    progress: Progress = silent,
) -> Explanation:
    """Explain what a bundle computes for one image.

    Args:
        bundle: the bundle.
        image: a path, an encoded file's bytes, a Pillow image, or a uint8 array, as `Classifier.predict` takes it.
        compared: another bundle of the same reference, such as the FP32 parent of an INT8 bundle.
        options: what the explanation contains.
        engine: `auto`, `onnxruntime` or `openvino`.
        threads: threads of one run; None for the usable cores.
        progress: called after each layer and each run of occlusion.

    Raises:
        ImageError: the image cannot be decoded.
        UsageError: the bundles come from different references, or a class number is not valid.
        BundleError: a graph cannot be read.
        EngineError: the engine is not installed, or failed.
    """
    pixels = bundle.manifest.preprocessing.image(image)
    explainer = Explainer(bundle, compared, engine=engine, threads=threads)
    try:
        return explainer.explain(pixels, options, progress)
    finally:
        explainer.close()


def _picture(image: np.ndarray) -> Picture:
    levels = image[:, :, 0] if image.shape[2] == 1 else image[:, :, :3]
    return Picture(encoded(np.ascontiguousarray(levels)), 0.0, 255.0)


def _first(order: list[int], others: Sequence[int]) -> list[int]:
    return list(dict.fromkeys([*order, *others]))


def class_numbers(classes: Sequence[str | int], labels: Sequence[str] | range) -> list[int]:
    """Return the numbers of classes that are given by name or number.

    Raises:
        UsageError: a class is unknown.
    """
    numbers = {str(number): number for number in range(len(labels))} | {
        label: number for number, label in reversed(list(enumerate(labels)))
    }
    for each in map(str, classes):
        if each not in numbers:
            hint = did_you_mean(each, map(str, labels))
            expected = f"a number from 0 to {len(labels) - 1}, or one of {few([shown(label) for label in labels])}"
            raise UsageError(f"unknown class {each[:100]!r}{hint}: expected {expected}")
    return [numbers[str(each)] for each in classes]
