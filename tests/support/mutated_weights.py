"""Random damage to files with weights, for fuzzing the import."""

import io
import os
import random
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_safetensors

State = dict[str, torch.Tensor]


class Canary:
    """An object whose unpickling creates a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        """Return a call that leaves a trace."""
        return os.mkdir, (str(self.path),)


def mutated_weights(state: State, seed: int, canary: Path) -> bytes:
    """Return a damaged file with these weights, in one of the formats that are imported."""
    chance = random.Random(seed)
    content: Any = dict(state)
    for _ in range(chance.choice((0, 1, 1, 2))):
        chance.choice(_CHANGES)(content, chance)
    if chance.random() < 0.1:
        content[chance.choice(("extra", "epoch", *content))] = Canary(canary)
    wrapped = chance.choice((content, content, content, {"state_dict": content, "epoch": 3}, [content], {1: content}))
    data = _saved(wrapped, chance)
    for _ in range(chance.choice((0, 0, 1, 2))):
        data = chance.choice((_flip, _flip, _cut, _pickle_flip, _doubled))(data, chance)
    return data


def _saved(content: Any, chance: random.Random) -> bytes:
    if chance.random() < 0.15:
        try:
            return save_safetensors(content)
        except Exception:  # not a dictionary of dense tensors
            pass
    stream = io.BytesIO()
    protocol = chance.choice((2, 2, 2, 3, 4))
    try:
        torch.save(content, stream, pickle_protocol=protocol, _use_new_zipfile_serialization=chance.random() < 0.8)
    except Exception:  # some tensors cannot be saved
        return b""
    return stream.getvalue()


def _flip(data: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(chance.randint(1, 6) if data else 0):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    return bytes(damaged)


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))] if data else data


def _doubled(data: bytes, chance: random.Random) -> bytes:
    return data + data[: chance.randint(0, 100)]


def _pickle_flip(data: bytes, chance: random.Random) -> bytes:
    """Damage the pickle of a zip archive, with valid checksums."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # it is damaged already, or no archive
        return data
    stream = io.BytesIO()
    kind = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for name, content in entries.items():
            archive.writestr(name, _flip(content, chance) if name.endswith("data.pkl") else content)
    return stream.getvalue()


def _key(content: Any, chance: random.Random) -> Any:
    return chance.choice(list(content)) if content else "none"


def _rename(content: Any, chance: random.Random) -> None:
    key = _key(content, chance)
    names = ("module." + str(key), str(key) + ".0", "", "a\x1b[31m\nb", 7, (1, 2), "head.weight", None)
    content[chance.choice(names)] = content.pop(key, torch.zeros(1))


def _remove(content: Any, chance: random.Random) -> None:
    content.pop(_key(content, chance), None)


def _retype(content: Any, chance: random.Random) -> None:
    key = _key(content, chance)
    types = (torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.bool, torch.complex64, torch.int64)
    if isinstance(content.get(key), torch.Tensor):
        content[key] = content[key].to(chance.choice(types))


def _reshape(content: Any, chance: random.Random) -> None:
    shapes = ((), (0,), (1,), (3, 3), (10, 0), (7, 64), (2, 2, 2, 2), (1, 1, 1, 1, 1))
    content[_key(content, chance)] = torch.zeros(chance.choice(shapes))


def _expand(content: Any, chance: random.Random) -> None:
    key = _key(content, chance)
    if isinstance(content.get(key), torch.Tensor) and content[key].dim() > 0:
        shape = list(content[key].shape)
        shape[chance.randrange(len(shape))] = chance.choice((1, 10**5, 10**9, 2**40))
        content[key] = torch.zeros([1] * len(shape)).expand(shape)


def _resize_head(content: Any, chance: random.Random) -> None:
    rows = chance.choice((0, 1, 2, 5, 1000, 100_000))
    for key in [key for key in content if str(key).startswith(("head.", "classifier."))]:
        if isinstance(content[key], torch.Tensor) and content[key].dim() > 0:
            content[key] = torch.zeros((rows, *content[key].shape[1:]))


def _spoil(content: Any, chance: random.Random) -> None:
    key = _key(content, chance)
    value = content.get(key)
    if isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel():
        content[key] = value.clone()
        content[key].view(-1)[0] = chance.choice((float("nan"), float("inf"), 3e38, 1e-45))


def _replace(content: Any, chance: random.Random) -> None:
    values: tuple[Any, ...] = (
        *(None, 3, "text", [torch.zeros(3)], {"weight": torch.zeros(3)}, torch.zeros(3).to_sparse(), Path("file")),
        torch.zeros(2, 2, device="meta"),
    )
    content[_key(content, chance)] = chance.choice(values)


def _add(content: Any, chance: random.Random) -> None:
    content[chance.choice(("extra", "optimizer", "aux1.weight", "body.9.weight"))] = torch.zeros(chance.randint(0, 5))


_CHANGES = (_rename, _remove, _retype, _reshape, _expand, _resize_head, _spoil, _replace, _add)
