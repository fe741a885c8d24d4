"""Runs a Containerfile's steps without a container engine: in a folder that stands for the image's root."""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile_parse import DockerfileParser

_OURS = re.compile(r"(?<![\w./])/(build|opt|tmp|models)\b")
"""The paths of the image that its steps write to or read; the rest is the system's."""


@dataclass
class Step:
    """One instruction, its continued lines joined."""

    name: str
    value: str

    @property
    def words(self) -> list[str]:
        """The words of an exec form; none where it is a shell form."""
        at = self.value.find("[")
        return list(json.loads(self.value[at:])) if at >= 0 else []


def steps(file: Path) -> list[Step]:
    """Parse a Containerfile."""
    parser = DockerfileParser(fileobj=io.BytesIO(file.read_bytes()))
    return [Step(step["instruction"], step["value"]) for step in parser.structure if step["instruction"] != "COMMENT"]


def last(file: Path, name: str) -> Step:
    """Return the instruction of that name that counts."""
    return [step for step in steps(file) if step.name == name][-1]


def interpreter() -> Path | None:
    """Return a Python that any user may run; None where there is none."""
    for found in (sys.executable, shutil.which("python3", path="/usr/local/bin:/usr/bin")):
        path = Path(found or "/nowhere").resolve()
        if path.exists() and all(parent.stat().st_mode & 0o001 for parent in path.parents):
            return path
    return None


@dataclass
class Image:
    """What the steps of a Containerfile have made so far.

    Attributes:
        root: the folder that stands for `/`.
        context: what is copied from.
        arguments: of the build.
        environment: that the image sets.
    """

    root: Path
    context: Path
    arguments: dict[str, str]
    environment: dict[str, str] = field(default_factory=dict)

    def placed(self, text: str) -> str:
        """Write the image's paths as they lie here."""
        return _OURS.sub(lambda found: str(self.root / found[1]), text)

    def build(self, file: Path, *, python: Path) -> None:
        """Run the steps; `python` and `pip` are what the base image has."""
        tools = self.root / "base"
        subprocess.run([python, "-m", "venv", tools], check=True)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        environment["PATH"] = f"{tools}/bin:{os.environ['PATH']}"
        for step in steps(file):
            if step.name == "ARG":
                name, _, default = step.value.partition("=")
                environment[name] = self.arguments.setdefault(name, default)
            elif step.name == "COPY":
                self._copy(step.value)
            elif step.name == "RUN":
                subprocess.run(["sh", "-ec", self.placed(step.value)], env=environment, cwd=self.root, check=True)
            elif step.name == "ENV":
                words = shlex.split(self.placed(step.value))
                self.environment |= dict(word.split("=", 1) for word in words)

    def _copy(self, value: str) -> None:
        for name, content in self.arguments.items():
            value = value.replace(f"${{{name}}}", content)
        *sources, target = value.split()
        if sources[0].startswith("--from="):  # a stage before: the same folder, where it lies at the same path
            assert sources[1:] == [target]
            return
        folder = Path(self.placed(target))
        folder.mkdir(parents=True, exist_ok=True)
        for pattern in sources:
            found = sorted(self.context.glob(pattern))
            assert found, f"nothing to copy: {pattern}"
            for each in found:
                shutil.copy(each, folder)

    def command(self, words: list[str], changes: dict[str, str]) -> list[str]:
        """Return a command of the image as it is run here: with the image's program, and texts in it exchanged."""
        program, *arguments = [self.placed(word) for word in words]
        for before, after in changes.items():
            arguments = [word.replace(before, after) for word in arguments]
        found = shutil.which(program, path=self.environment["PATH"])
        assert found is not None, f"{program} is not in the image"
        return [found, *arguments]
