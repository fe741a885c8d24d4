"""Load a function that the command line names, such as `package.module:function` or `file.py:function`.

The code is imported only because the user names it; no file that edgecnn reads can name code.
"""

import contextlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from edgecnn.errors import EdgecnnError, UsageError
from edgecnn.hints import did_you_mean


@dataclass(frozen=True)
class UserFunction:
    """A function, a class, or another object that can be called.

    Attributes:
        word: what the user named: `package.module:function` or `file.py:function`.
        call: the object.
        source: the file of its module; None if the module has no file.
    """

    word: str
    call: Callable[..., Any]
    source: Path | None


def load_attribute(word: str, *, option: str) -> UserFunction:
    """Import a module and return one of its functions.

    The current folder and a file's own folder are on `sys.path` during the import only. What the code prints goes to
    stderr, because stdout is for results.

    Args:
        word: `package.module:function` or `file.py:function`.
        option: the option or argument that names it, for messages.

    Raises:
        UsageError: the word has another form, or the module, file or function does not exist.
        EdgecnnError: the module fails when it is imported.
    """
    place, _, attribute = word.rpartition(":")
    if not place or not all(part.isidentifier() for part in attribute.split(".")):
        raise UsageError(f"{option} expects package.module:function or file.py:function, found {word!r}")
    is_file = place.endswith(".py")
    if not is_file and not all(part.isidentifier() for part in place.split(".")):
        raise UsageError(f"{option} {word}: expected a file that ends in .py or a module's name, found {place!r}")
    if is_file and not Path(place).is_file():
        raise UsageError(f"{option} {word}: the file {place} does not exist")
    folders = [*([str(Path(place).resolve().parent)] if is_file else []), str(Path.cwd())]
    try:
        with _importable(folders), contextlib.redirect_stdout(sys.stderr):
            module = _from_file(Path(place)) if is_file else importlib.import_module(place)
    except (Exception, SystemExit) as error:  # user code can raise any exception
        raise _import_error(option, word, place, error) from error
    source = getattr(module, "__file__", None)
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            named = source or place
            raise UsageError(f"{option} {word}: {named} has no {attribute!r}{did_you_mean(part, _public(found))}")
        found = getattr(found, part)
    if not callable(found):
        raise UsageError(f"{option} {word}: expected a function, found an object of type {type(found).__name__}")
    return UserFunction(word, found, None if source is None else Path(source))


def run_user_code(call: Callable[[], Any], name: str, source: Path | None) -> Any:
    """Call code of the user. What it prints goes to stderr, because stdout is for results.

    Raises:
        EdgecnnError: the code failed. The message names the line.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return call()
    except EdgecnnError:
        raise
    except (Exception, SystemExit) as error:  # user code can raise any exception
        raise EdgecnnError(f"{name} failed: {failure(error, source)}") from error


def failure(error: BaseException, source: Path | None) -> str:
    """Return an exception of user code on one line, with the last line of `source` that it passed."""
    if isinstance(error, SyntaxError) and error.filename:
        at = f" ({Path(error.filename).name}, line {error.lineno})"
        return f"{type(error).__name__}: {error.msg}{at}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if _is_file(frame.filename, source)]
    at = f" ({source.name}, line {lines[-1]})" if source is not None and lines else ""
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}{f': {text}' if text else ''}{at}"


@contextlib.contextmanager
def _importable(folders: list[str]) -> Iterator[None]:
    """Put folders at the front of `sys.path` while the block runs."""
    before = list(sys.path)
    sys.path[:0] = folders
    importlib.invalidate_caches()  # a file may be newer than the cached listing of its folder
    try:
        yield
    finally:
        sys.path[:] = before


def _from_file(path: Path) -> ModuleType:
    name = f"_edgecnn_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None  # the name ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _import_error(option: str, word: str, place: str, error: BaseException) -> EdgecnnError:
    """Return the error for a module that cannot be imported."""
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing is not None and (place == missing or place.startswith(f"{missing}.")):
        return UsageError(
            f"{option} {word}: there is no module {missing} in the current folder or among the installed packages"
        )
    source = Path(place) if place.endswith(".py") else None
    return EdgecnnError(f"{option} {word}: importing {place} failed: {failure(error, source)}")


def _public(found: object) -> list[str]:
    return [name for name in dir(found) if not name.startswith("_")]


def _is_file(name: str, source: Path | None) -> bool:
    return source is not None and Path(name).resolve() == source.resolve()
