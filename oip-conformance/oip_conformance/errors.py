"""Errors that end the command. click prints the message on stderr and exits with `exit_code`."""

import click


class ConformanceError(click.ClickException):
    """The server cannot be tested: no server or model, or no answer to a valid request."""

    exit_code = 1


class UsageError(ConformanceError):
    """An option or an argument is missing or wrong."""

    exit_code = 2


class NotConformant(ConformanceError):
    """At least one case that counts failed."""

    exit_code = 3
