"""The file of figures from other pages of the repository, `data/published.json`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Accuracy:
    """A trained model of `docs/zoo.md`.

    Attributes:
        model: name of the model.
        architecture: registered name.
        image_size: height and width in pixels.
        top1: share of correct answers on the 10,000 test images of Fashion-MNIST, from 0 to 1.
        low: lower end of its 95 % interval.
        high: upper end.
        parameters: trainable ones.
        macs_millions: multiply-accumulates of inference for one image.
        epochs: number of epochs.
    """

    model: str
    architecture: str
    image_size: int
    top1: float
    low: float
    high: float
    parameters: int
    macs_millions: float
    epochs: int


@dataclass(frozen=True)
class Latency:
    """The time for one image in `benchmarks/results/engines.md`.

    Attributes:
        network: registered name.
        image_size: height and width in pixels.
        way: `edgecnn` (the setting that `tune` chose), or another way to run the network.
        precision: `FP32` or `INT8`.
        engine: the library that ran it.
        threads: number of threads; None for the engine's default.
        median_ms: median in milliseconds.
        low_ms: lower end of its 95 % interval.
        high_ms: upper end.
    """

    network: str
    image_size: int
    way: str
    precision: str
    engine: str
    threads: int | None
    median_ms: float
    low_ms: float
    high_ms: float


@dataclass(frozen=True)
class Published:
    """All figures.

    Attributes:
        command: the command that wrote the file.
        accuracies: of the models for Fashion-MNIST.
        photographs: of the classifier of cats and dogs.
        latencies: of the five architectures.
        machine: processor and versions of the latencies.
    """

    command: str
    accuracies: tuple[Accuracy, ...]
    photographs: Accuracy
    latencies: tuple[Latency, ...]
    machine: str
