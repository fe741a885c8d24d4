"""Write loss, accuracy and learning rate of every epoch for TensorBoard."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from edgecnn.errors import EdgecnnError
from edgecnn.pipeline.training.checkpoint import Epoch


@contextlib.contextmanager
def scalars(folder: Path | None) -> Iterator[Callable[[int, Epoch], None]]:
    """Yield a function that writes the metrics of an epoch, from 1, as TensorBoard scalars; no effect without folder.

    Raises:
        ModuleNotFoundError: TensorBoard is not installed.
        EdgecnnError: the folder cannot be written.
    """
    if folder is None:
        yield lambda number, epoch: None
        return
    from torch.utils.tensorboard import SummaryWriter  # import late: TensorBoard is an optional dependency

    try:
        writer = SummaryWriter(str(folder))
    except OSError as error:
        raise EdgecnnError(f"cannot write TensorBoard scalars to {folder}: {error.strerror}") from None

    def write(number: int, epoch: Epoch) -> None:
        figures = {
            "loss/training": epoch.loss,
            "loss/validation": epoch.validation_loss,
            "top1/training": epoch.accuracy,
            "top1/validation": epoch.validation_top1,
            "learning_rate": epoch.learning_rate,
            "seconds/epoch": epoch.duration_s,
            "seconds/waiting": epoch.waited_s,
        }
        for name, value in figures.items():
            if value is not None:
                writer.add_scalar(name, value, number)
        writer.flush()

    with contextlib.closing(writer):
        yield write
