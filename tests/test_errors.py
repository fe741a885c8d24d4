"""The error classes and their exit codes."""

import inspect

from edgecnn import errors


def test_exit_codes_group_the_errors():
    by_code: dict[int, set[str]] = {}
    for cls in error_classes():
        by_code.setdefault(cls.exit_code, set()).add(cls.__name__)
    assert set(by_code) == {1, 2, 3}
    assert by_code[2] == {"UsageError", "OutputExists", "TestSplitRefused"}
    signature = {"SignatureError", "SignatureMissing", "SignatureInvalid"}
    assert by_code[3] == {"ProofFailed", "GateFailed", "SlowerThanBefore"} | signature


def test_every_error_is_an_edgecnn_error():
    assert all(issubclass(cls, errors.EdgecnnError) for cls in error_classes())


def error_classes() -> list[type[errors.EdgecnnError]]:
    found = [cls for cls in vars(errors).values() if inspect.isclass(cls) and cls.__module__ == errors.__name__]
    return [cls for cls in found if not issubclass(cls, Warning)]
