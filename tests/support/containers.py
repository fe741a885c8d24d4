"""Runs the steps of a Containerfile without a container engine, in a folder that replaces the image's root."""

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
"""The image paths that the steps write or read. All other paths are the system's."""


@dataclass
class Step:
    """One instruction, with continued lines joined."""

    name: str
    value: str

    @property
    def words(self) -> list[str]:
        """Return the words of an exec form; none for a shell form."""
        at = self.value.find("[")
        return list(json.loads(self.value[at:])) if at >= 0 else []


def steps(file: Path) -> list[Step]:
    """Parse a Containerfile."""
    parser = DockerfileParser(fileobj=io.BytesIO(file.read_bytes()))
    return [Step(step["instruction"], step["value"]) for step in parser.structure if step["instruction"] != "COMMENT"]


def last(file: Path, name: str) -> Step:
    """Return the last instruction of that name, which is the effective one."""
    return [step for step in steps(file) if step.name == name][-1]


def interpreter() -> Path | None:
    """Return a Python that any user may run, or None."""
    for found in (sys.executable, shutil.which("python3", path="/usr/local/bin:/usr/bin")):
        path = Path(found or "/nowhere").resolve()
        if path.exists() and all(parent.stat().st_mode & 0o001 for parent in path.parents):
            return path
    return None


@dataclass
class Image:
    """The result of the steps of a Containerfile so far.

    Attributes:
        root: the folder used as `/`.
        context: the folder that COPY copies from.
        arguments: the build arguments.
        environment: the variables that the image sets.
    """

    root: Path
    context: Path
    arguments: dict[str, str]
    environment: dict[str, str] = field(default_factory=dict)

    def placed(self, text: str) -> str:
        """Replace the image's paths by paths on this machine."""
        return _OURS.sub(lambda found: str(self.root / found[1]), text)

    def build(self, file: Path, *, python: Path) -> None:
        """Run the steps. `python` and `pip` are the base image's programs."""
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
        if sources[0].startswith("--from="):  # an earlier stage: the same folder at the same path
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
        """Return a command of the image for this machine, with `changes` applied to its arguments."""
        program, *arguments = [self.placed(word) for word in words]
        for before, after in changes.items():
            arguments = [word.replace(before, after) for word in arguments]
        found = shutil.which(program, path=self.environment["PATH"])
        assert found is not None, f"{program} is not in the image"
        return [found, *arguments]
