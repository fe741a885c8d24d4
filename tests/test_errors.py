"""The error tree: every class stands in the docstring's drawing, with its exit code."""

import inspect
import re

from edgecnn import errors


def test_the_drawing_shows_every_error_with_its_exit_code():
    drawn = dict(re.findall(r"(\w+) +(\d)   ", errors.__doc__ or ""))
    classes = {cls.__name__: cls for cls in error_classes()}
    assert drawn == {name: str(cls.exit_code) for name, cls in classes.items()}


def test_every_error_is_an_edgecnn_error():
    assert all(issubclass(cls, errors.EdgecnnError) for cls in error_classes())


def error_classes() -> list[type[errors.EdgecnnError]]:
    found = [cls for cls in vars(errors).values() if inspect.isclass(cls) and cls.__module__ == errors.__name__]
    return [cls for cls in found if not issubclass(cls, Warning)]
