"""Find the state dict of an architecture in a file: in its entries, behind prefixes, with a head in a Sequential."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edgecnn.errors import CheckpointError, UsageError
from edgecnn.hints import few, shown
from edgecnn.pipeline.importing.kinds import SAVE
from edgecnn.pipeline.importing.weights_file import StandIn
from edgecnn.pipeline.models.registry import Architecture

_WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Parts of keys that DataParallel, torch.compile, FSDP and activation checkpoints add, in front or between."""

_DEEPEST, _MOST = 3, 1000  # dictionaries inside dictionaries, and all of them


@dataclass(frozen=True)
class FoundState:
    """A state dict in a file.

    Attributes:
        state: keys of the architecture, and maybe others, to tensors.
        notes: what was unwrapped, adapted and left out.
        choice: the entry and prefix, if the file has several sets of weights; else empty.
    """

    state: dict[str, torch.Tensor]
    notes: tuple[str, ...]
    choice: str


@dataclass(frozen=True)
class _Candidate:
    """A dictionary of the file, seen behind one prefix.

    `tensors` has keys without the prefix. `beside` names the weights without it, and `dropped` what is not a weight.
    `problem` says why the head cannot be adapted.
    """

    entry: str
    prefix: str
    tensors: dict[str, torch.Tensor]
    beside: list[str]
    dropped: list[str]
    changes: list[str]
    problem: str | None = None

    @property
    def name(self) -> str:
        """The name for `--key`."""
        return ".".join(filter(None, (self.entry, self.prefix.rstrip(".")))) or "."

    def fits(self, required: Collection[str]) -> bool:
        """Return whether all keys of the architecture are there."""
        return self.problem is None and all(key in self.tensors for key in required)


def find_state(
    path: Path, content: Any, architecture: Architecture, expected: dict[str, torch.Tensor], key: str | None
) -> FoundState:
    """Find the state dict of an architecture in the object that a file has. If none fits, return the largest.

    Args:
        path: the file, for messages.
        content: the object in the file.
        architecture: the architecture of the weights.
        expected: its keys and shapes. Only the keys are used.
        key: the entry, or entry and prefix, to use; None if only one fits.

    Raises:
        UsageError: several sets of weights fit and `key` is None, or `key` does not exist.
        CheckpointError: the file has no state dict, a head of several layers, or tensors of other layers.
    """
    required = [
        name
        for name in expected
        if not name.startswith(architecture.optional_keys) and not name.endswith("num_batches_tracked")
    ]
    found = [
        candidate
        for entry, dictionary in _dictionaries(content)
        for candidate in _candidates(entry, dictionary, required, expected, architecture.heads)
    ]
    if not found:
        raise CheckpointError(f"{path} {_without_weights(content)}")
    if key is not None and not any(key in (each.name, each.entry) for each in found):
        raise UsageError(f"{path} has no entry {key!r} with weights: choose {_names(found)} with --key")
    named = [each for each in found if key in (None, each.name, each.entry)]
    fitting = [each for each in named if each.fits(required)]
    if len(fitting) > 1:
        raise UsageError(
            f"{path} has several sets of weights for {architecture.name}: choose {_names(fitting)} with --key "
            f"(verify: --weights-key)"
        )
    best = fitting[0] if fitting else max(named, key=lambda each: len(each.tensors))
    if best.problem is not None:
        raise CheckpointError(f"{path}: {best.problem}")
    if fitting and best.beside and key != best.name:
        raise CheckpointError(
            f"{path} has tensors beside {best.name}, which may be layers of the network: {_few(best.beside)}; add "
            f"--key {best.name} to leave them out"
        )
    several = sum(each.fits(required) for each in found) > 1
    return FoundState(best.tensors, _notes(best), best.name if several else "")


def _dictionaries(content: Any) -> Iterator[tuple[str, dict[Any, Any]]]:
    """Yield the dictionaries with tensors in an object, with their names, outermost first."""
    seen: set[int] = set()
    level = [("", content)]
    for _ in range(_DEEPEST + 1):
        inner: list[tuple[str, Any]] = []
        for name, each in level[:_MOST]:
            if not isinstance(each, dict) or id(each) in seen:
                continue
            seen.add(id(each))
            if any(isinstance(key, str) and _has_values(item) for key, item in each.items()):
                yield name, each
            inner += [(f"{name}.{key}".lstrip("."), item) for key, item in each.items() if isinstance(key, str)]
        level = inner


def _has_values(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dim() > 0


def _candidates(
    entry: str,
    dictionary: dict[Any, Any],
    required: list[str],
    expected: dict[str, torch.Tensor],
    heads: tuple[str, ...],
) -> Iterator[_Candidate]:
    """Yield a dictionary's tensors behind each prefix with which the first key of the architecture occurs."""
    plain: dict[str, Any] = {}
    removed: set[str] = set()
    for key, value in dictionary.items():
        parts = str(key).split(".")
        kept = parts if key in expected else [part for part in parts if part not in _WRAPPERS]
        removed.update(set(parts) - set(kept))
        plain[".".join(kept)] = value
    anchor = required[0]
    prefixes = [key.removesuffix(anchor) for key in plain if key == anchor or key.endswith(f".{anchor}")]
    tensors = {key: value for key, value in plain.items() if isinstance(value, torch.Tensor)}
    for prefix in prefixes or [""]:
        inside = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        beside = [key for key, value in tensors.items() if not key.startswith(prefix) and _has_values(value)]
        needless = [key for key, value in inside.items() if key not in expected and not _has_values(value)]
        inside = {key: value for key, value in inside.items() if key not in needless}
        dropped = [key for key in plain if key not in tensors] + needless
        changes = [f"removed {part!r}" for part in (prefix, *(f"{part}." for part in sorted(removed))) if part]
        inside, adapted, problem = _adapt_heads(inside, heads)
        if len(plain) < len(dictionary):
            problem = f"it has keys that differ only in {' or '.join(map(repr, sorted(removed)))}: keep one of each"
        for key in dropped:
            if key.startswith(prefix) and key.removeprefix(prefix) in expected:
                problem = f"{key} {_kind(plain[key])}, expected a tensor"
        yield _Candidate(entry, prefix, inside, beside, dropped, changes + adapted, problem)


def _adapt_heads(
    tensors: dict[str, torch.Tensor], heads: tuple[str, ...]
) -> tuple[dict[str, torch.Tensor], list[str], str | None]:
    """Return the tensors with the one linear layer of a Sequential as the head, what was changed, and the problem."""
    notes, problem = [], None
    for head in heads:
        inside = {key: value for key, value in tensors.items() if key.startswith(f"{head}.")}
        if not inside or f"{head}.weight" in inside:
            continue
        linear = [key.removesuffix(".weight") for key, value in inside.items() if value.dim() == 2]
        if len(linear) == 1 and set(inside) <= {f"{linear[0]}.weight", f"{linear[0]}.bias"}:
            renamed = {key.replace(linear[0], head, 1): value for key, value in inside.items()}
            tensors = {key: value for key, value in tensors.items() if key not in inside} | renamed
            notes.append(f"took {linear[0]} as the head {head} (beside it, only dropout is allowed)")
        elif head == heads[0]:
            layers = ", ".join(dict.fromkeys(key.rpartition(".")[0] for key in inside))
            problem = (
                f"the head {head} has the layers {layers}, expected one linear layer, maybe with dropout: train such "
                f"a head and save the weights again"
            )
    return tensors, notes, problem


def _notes(chosen: _Candidate) -> tuple[str, ...]:
    notes = [f"took the entry {chosen.entry!r}"] if chosen.entry else []
    left_out = [*chosen.dropped, *chosen.beside]
    return (*notes, *chosen.changes, *([f"left out {_few(left_out)}"] if left_out else []))


def _without_weights(content: Any) -> str:
    """Return what an object without tensors is."""
    entries = [("it", content), *(content.items() if isinstance(content, dict) else ())]
    for name, value in entries:
        if isinstance(value, StandIn):
            what = "" if value is content else f"has no state dict: its entry {name!r} "
            return f"{what}{_kind(value)}, not weights: it was rejected without executing its code; {SAVE}"
    if isinstance(content, dict):
        found = f"a dictionary with the keys {_few(list(content))}" if content else "an empty dictionary"
    else:
        found = f"an object of {type(content).__name__}"
    return f"is not a state dict: expected a dictionary of names and tensors, found {found}; {SAVE}"


def _kind(value: Any) -> str:
    return f"is an object of {value.name if isinstance(value, StandIn) else type(value).__name__}"


def _names(candidates: list[_Candidate]) -> str:
    return " or ".join(dict.fromkeys(each.name for each in candidates))


def _few(names: list[Any]) -> str:
    return few([*map(shown, names)])
