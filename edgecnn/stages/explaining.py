"""`edgecnn.explain`: show what a bundle or a checkpoint computes for one image."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from edgecnn.bundle.decoding import ImageLike
from edgecnn.bundle.finding import check_outside_bundles, is_checkpoint
from edgecnn.bundle.store import Bundle
from edgecnn.errors import UsageError
from edgecnn.explaining.explain import ExplainOptions
from edgecnn.explaining.explain import explain as explain_bundle
from edgecnn.explaining.explanation import Explanation
from edgecnn.explaining.page import explain_page
from edgecnn.files.file import check_new_file, new_file
from edgecnn.files.folder import write_new_file
from edgecnn.pages.page import LanguageChoice
from edgecnn.progress import Progress, silent
from edgecnn.stages.opening import BundleLike, open_one


def explain(
    subject: BundleLike,
    image: ImageLike,
    *,
    out: str | Path | None = None,
    compare: BundleLike | None = None,
    checkpoint: str | Path | None = None,
    architecture: str | None = None,
    classes: Sequence[str | int] = (),
    language: LanguageChoice = "auto",
    engine: str = "auto",
    threads: int | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Explanation:
    """Explain what a bundle or a checkpoint computes for one image: feature maps, contributions, where it looks.

    For a bundle without `checkpoint`, neither PyTorch nor ONNX is imported. A checkpoint is exported for this image;
    its graph is compared with PyTorch on this image only.

    Args:
        subject: a bundle, its folder, or the folder of a checkpoint.
        image: a path, an encoded file's bytes, a Pillow image, or a uint8 array.
        out: HTML file to write: one page without external resources.
        compare: another bundle of the same reference, such as the FP32 parent of an INT8 bundle.
        checkpoint: the checkpoint from which a bundle was made, for Grad-CAM.
        architecture: the factory that built the network of a checkpoint, if it was one.
        classes: names or numbers of classes for contributions and occlusion, besides the most probable ones.
        language: language of the page: `auto` (the browser's), `en` or `zh`.
        engine: `auto`, `onnxruntime` or `openvino`.
        threads: threads of one run; None for the usable cores.
        force: replace an existing file.
        progress: called after each step.

    Raises:
        UsageError: the arguments do not fit together, a class is unknown, or `out` already exists.
        BundleError, CheckpointError: the subject cannot be read.
        ImageError: the image cannot be decoded.
        ProofFailed: the graph of a checkpoint differs from PyTorch for this image.
        EngineError: the engine is not installed, or failed.
    """
    path = None if isinstance(subject, Bundle) or not is_checkpoint(Path(subject)) else Path(subject)
    _check(path, checkpoint, architecture)
    page = None if out is None else Path(out)
    if page is not None:
        check_outside_bundles(page)
        check_new_file(page, force=force)
    run = partial(
        explain_bundle,
        image=image,
        compared=None if compare is None else open_one(compare),
        options=ExplainOptions(classes=tuple(classes)),
        engine=engine,
        threads=threads,
        progress=progress,
    )
    if path is not None:
        from edgecnn.pipeline.explaining.explaining import explain_network, open_network

        found = explain_network(open_network(path, architecture), path.name, image, run)
    elif checkpoint is not None:
        found = _with_grad_cam(open_one(subject), Path(checkpoint), architecture, image, run)
    else:
        found = run(open_one(subject))
    if page is not None:
        with new_file(page, force=force) as new:
            write_new_file(new, (explain_page(found, language).html.encode(),))
    return found


def _check(path: Path | None, checkpoint: str | Path | None, architecture: str | None) -> None:
    """Check that the arguments fit together; `path` is the subject if it is a checkpoint.

    Raises:
        UsageError: they do not.
    """
    if path is not None and checkpoint is not None:
        raise UsageError(f"{path} is a checkpoint already: remove --checkpoint {checkpoint}")
    if path is None and checkpoint is None and architecture is not None:
        raise UsageError("--arch names the network of a checkpoint: add --checkpoint, or remove --arch")


def _with_grad_cam(
    bundle: Bundle,
    checkpoint: Path,
    architecture: str | None,
    image: ImageLike,
    run: Callable[[Bundle], Explanation],
) -> Explanation:
    """Explain a bundle, and add Grad-CAM of the checkpoint from which it was made."""
    from edgecnn.pipeline.explaining.explaining import add_grad_cam, check_same_network, open_network

    reference = open_network(checkpoint, architecture)
    check_same_network(bundle, reference, checkpoint)
    return add_grad_cam(run(bundle), reference, image)
