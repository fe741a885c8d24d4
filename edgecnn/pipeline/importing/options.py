"""What a weights file does not contain: options of the commands, and the preprocessing that follows from them."""

import math
from dataclasses import dataclass, fields, replace

from edgecnn.bundle.choices import Interpolation, PixelRange, ResizeMode, ScoresKind
from edgecnn.bundle.decoding import MODES
from edgecnn.bundle.manifest import Network, Stem
from edgecnn.bundle.preprocessing import Preprocessing, Resize
from edgecnn.errors import UsageError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's training images, per channel."""

_GREY_MEAN, _GREY_STD = (0.449,), (0.226,)
_PORTED = ("googlenet", "torchvision:googlenet", "torchvision:inception_v3")
"""Networks with torchvision's option `transform_input`."""

_LEAST_STD = 1e-3
"""Less than a quarter of a grey level."""


@dataclass(frozen=True)
class WeightsOptions:
    """Properties that a weights file does not contain. None selects the default, which a note names.

    Attributes:
        image_size: height and width of the network's input, in pixels. Default: those of `crop` or `resize` if they
            are given, else the architecture's usual size.
        resize: length of one side, or height and width, before the crop. Default: a shorter side of 256/224 of the
            image size; the image size itself for the other modes.
        resize_mode: what `resize` sets. Default: `shorter` for one number, `squash` for two.
        crop: height and width of the centre crop; empty for no crop. Default: the image size.
        interpolation: filter of the resize. Default: `bilinear`.
        fill: levels of the padding of `letterbox`: one for all channels, or one for each. Default: 0.
        mean: per channel, of pixels in `pixel_range`. Default: ImageNet's; 0 for 0-255 and for RGBA.
        std: per channel, of pixels in `pixel_range`. Default: ImageNet's; 1 for 0-255 and for RGBA.
        pixel_range: range of the pixels before mean and standard deviation. Pipelines of Caffe, Keras and TensorFlow
            use 0-255. Default: 0-1.
        transform_input: whether a GoogLeNet was trained with torchvision's `transform_input=True`. Default: True for
            colour images.
        labels: class names. Default: the class indices.
        labels_from: where `labels` come from, for messages.
        stem: the stem of the network, if its architecture has several. Default: `standard`.
        key: the entry of the file, or the prefix of its keys, if it has several sets of weights.
        scores: how the outputs become scores; see `edgecnn.pipeline.importing.heads.scores_of`. Default: `softmax`, or
            `sigmoid` for one output.
        threshold: smallest score of a label of `multi-label`. Default: 0.5.
    """

    image_size: tuple[int, int] | None = None
    resize: tuple[int, ...] | None = None
    resize_mode: ResizeMode | None = None
    crop: tuple[int, ...] | None = None
    interpolation: Interpolation | None = None
    fill: tuple[int, ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    pixel_range: PixelRange | None = None
    transform_input: bool | None = None
    labels: tuple[str, ...] | None = None
    labels_from: str = "--labels"
    stem: Stem | None = None
    key: str | None = None
    scores: ScoresKind | None = None
    threshold: float | None = None

    @property
    def given(self) -> str:
        """The names of the options that are given, for messages."""
        names = [each.name for each in fields(self) if getattr(self, each.name) != each.default]
        return ", ".join(f"--{name.replace('_', '-')}" for name in names if name != "labels_from")

    @property
    def has_geometry(self) -> bool:
        """Whether an option of the resize or the crop is given."""
        return any(each is not None for each in (self.image_size, self.resize, self.resize_mode, self.crop))

    @property
    def states_preprocessing(self) -> bool:
        """Whether an option of the preprocessing is given."""
        others = (self.interpolation, self.fill, self.mean, self.std, self.pixel_range, self.transform_input)
        return self.has_geometry or any(each is not None for each in others)


def network_size(options: WeightsOptions, usual: int) -> tuple[int, int]:
    """Return the height and width of the network's input; `usual` is the architecture's side.

    Raises:
        UsageError: the image size and the crop differ.
    """
    if options.crop and options.image_size not in (None, options.crop):
        raise UsageError(
            f"--crop {_listed(options.crop)} and --image-size {_listed(options.image_size)} differ: the crop is the "
            f"network's input, so give one of them"
        )
    return _pair(options.image_size or options.crop or _target(options) or (usual,))


def preprocessing_of(
    network: Network, options: WeightsOptions, *, entry: Preprocessing | None = None
) -> tuple[Preprocessing, list[str]]:
    """Return the preprocessing of imported weights, and texts that name what was assumed.

    Args:
        network: its image size is that of `network_size`.
        options: the user's options.
        entry: the preprocessing that torchvision or timm states, if any. It replaces the defaults.

    Raises:
        UsageError: the options do not fit together, or do not fit the network.
    """
    assumed: list[str] = []
    if entry is not None and not options.has_geometry:
        kind = options.interpolation or (entry.resize.interpolation if entry.resize else "bilinear")
        resize, crop = entry.resize and replace(entry.resize, interpolation=kind), entry.crop
    else:
        resize, crop = _geometry(network.image_size, options, assumed, entry)
    mean, std = _normalisation(network, options, assumed, entry)
    try:
        return Preprocessing(MODES[network.in_channels], resize, crop, mean, std), assumed
    except ValueError as error:
        raise UsageError(f"--resize, --crop or --fill is not valid: {error}") from None


def _geometry(
    size: tuple[int, int], options: WeightsOptions, assumed: list[str], entry: Preprocessing | None
) -> tuple[Resize, tuple[int, int] | None]:
    """Return the resize and the crop."""
    mode, target = _mode(options), _target(options) or size
    has_size = mode in ("squash", "letterbox")
    _check_geometry(size, options)
    if options.image_size is None and not options.crop:
        assumed.append(f"image size {_sides(size)}")
    side = max(size) if mode == "longer" else round(min(size) * 256 / 224)
    resize = target if has_size else options.resize or (side,)
    if options.resize is None:
        assumed.append(f"resize to {_sides(resize)}" if has_size else f"resize of the {mode} side to {resize[0]}")
    crop = None if options.crop == () or (options.crop is None and has_size and target == size) else size
    if options.crop is None:
        assumed.append("no crop" if crop is None else f"crop {_sides(crop)}")
    kind = options.interpolation or (entry.resize.interpolation if entry and entry.resize else None)
    if kind is None:
        assumed.append("interpolation bilinear")
    if mode == "letterbox" and options.fill is None:
        assumed.append("fill 0")
    fit = mode if mode in ("longer", "letterbox") else None
    try:
        return Resize(resize, kind or "bilinear", fit, options.fill or (0,)), crop
    except ValueError as error:
        raise UsageError(f"--resize or --fill is not valid: {error}") from None


def _check_geometry(size: tuple[int, int], options: WeightsOptions) -> None:
    """Check that the options of the resize and the crop fit together."""
    mode, given, target = _mode(options), options.resize, _target(options)
    has_size = mode in ("squash", "letterbox")
    if not has_size and given is not None and len(given) > 1:
        raise UsageError(f"--resize-mode {mode} sets one side, found --resize {_listed(given)}: give one number")
    if options.fill is not None and mode != "letterbox":
        raise UsageError("--fill is the padding of --resize-mode letterbox, which is missing")
    if options.crop == () and not has_size:
        raise UsageError(
            f"--crop none needs images of one size: use --resize H,W, or --resize-mode letterbox, instead of {mode}"
        )
    if options.crop == () and target not in (None, size):
        raise UsageError(
            f"--crop none: --resize {_listed(given)} differs from --image-size {_listed(size)}, so give one of them"
        )
    small = target is not None and (target[0] < size[0] or target[1] < size[1])
    if options.crop is None and (small or (mode == "shorter" and given is not None and given[0] < min(size))):
        raise UsageError(
            f"--resize {_listed(given)} is smaller than the image size of {_sides(size)}: add --image-size, or --crop "
            f"{_listed(size)} if images were padded with black in training"
        )


def _mode(options: WeightsOptions) -> ResizeMode:
    return options.resize_mode or ("squash" if options.resize and len(options.resize) == 2 else "shorter")


def _target(options: WeightsOptions) -> tuple[int, int] | None:
    """Return the height and width that the resize gives to every image; None if they are not given."""
    has_size = options.resize is not None and _mode(options) in ("squash", "letterbox")
    return _pair(options.resize or ()) if has_size else None


def _normalisation(
    network: Network, options: WeightsOptions, assumed: list[str], entry: Preprocessing | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of the network's input.

    torchvision's GoogLeNet was ported from TensorFlow. With `transform_input=True` it reverts ImageNet's normalisation
    and scales to [-1, 1]: (x · std + mean - 0.5) / 0.5. With the normalisation before it, this is one normalisation.
    """
    channels = network.in_channels
    if entry is not None and (options.pixel_range is not None or entry.channels != channels):
        entry = None  # it is of pixels in [0, 1], or of other channels
    scale = 255 if options.pixel_range == "0-255" else 1
    usual = _usual(channels, scale) if entry is None else (entry.mean, entry.std)
    for option, given, default in (("mean", options.mean, usual[0]), ("std", options.std, usual[1])):
        if given is not None:
            _check_values(f"--{option}", given, channels, scale)
        elif entry is None:
            assumed.append(f"{option} {_listed(default)}")
    mean, std = (
        tuple(value / scale for value in values) for values in (options.mean or usual[0], options.std or usual[1])
    )
    if not _transforms_input(network, options):
        return mean, std
    if options.transform_input is None and entry is None:
        assumed.append("transform_input=True, as torchvision's weights")
    factors = [own / imagenet for own, imagenet in zip(std, STD, strict=True)]
    shifted = (own - (imagenet - 0.5) * by for own, imagenet, by in zip(mean, MEAN, factors, strict=True))
    return tuple(round(value, 9) for value in shifted), tuple(0.5 * by for by in factors)


def _usual(channels: int, scale: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation that are assumed for pixels in [0, `scale`]."""
    if scale == 1 and channels in (1, 3):
        return (MEAN, STD) if channels == 3 else (_GREY_MEAN, _GREY_STD)
    return (0.0,) * channels, (1.0,) * channels


def _transforms_input(network: Network, options: WeightsOptions) -> bool:
    is_ported = network.architecture in _PORTED
    can = is_ported and network.in_channels == 3
    if options.transform_input is not None and not is_ported:
        raise UsageError(f"--transform-input is a property of GoogLeNet, found {network.architecture}: remove it")
    if options.transform_input and not can:
        raise UsageError(
            f"--transform-input is for colour images, the weights take images with {network.in_channels} channel"
            f"{'' if network.in_channels == 1 else 's'}: remove it"
        )
    return can if options.transform_input is None else options.transform_input


def _check_values(option: str, values: tuple[float, ...], channels: int, scale: int) -> None:
    """Check a mean or a standard deviation of pixels in [0, `scale`]."""
    found = f"found {option} {_listed(values)}"
    if len(values) != channels:
        raise UsageError(f"{option} must have {_counted(channels)}, one for each channel of the weights, {found}")
    if not all(map(math.isfinite, values)):
        raise UsageError(f"{option} must contain finite numbers, {found}")
    if option == "--std" and min(values) < _LEAST_STD * scale:
        raise UsageError(f"--std must be at least {_LEAST_STD * scale:g}, {found}")
    if max(map(abs, values)) > scale:
        advice = "add --pixel-range 0-255 for values on the 0..255 scale" if scale == 1 else "give levels"
        raise UsageError(f"{option} is of pixels in [0, {scale}], {found}: {advice}")


def _counted(count: int) -> str:
    return "1 number" if count == 1 else f"{count} numbers"


def _pair(sides: tuple[int, ...]) -> tuple[int, int]:
    return sides[0], sides[-1]


def _sides(sides: tuple[int, ...]) -> str:
    return f"{sides[0]} × {sides[1]}"


def _listed(values: tuple[float, ...] | None) -> str:
    return ",".join(f"{value:g}" for value in values or ())
