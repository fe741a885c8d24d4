"""What the library logs about clients' mistakes, left out: clients could write lines at will, and their keys with them.

Each would be a traceback that holds the client's bytes. What is wrong with a call, its client is told; that the library
has ended, `server` says. Everything else that it logs stays.
"""

import logging

_LIBRARY, _LOOP = "grpc._cython.cygrpc", "asyncio"


def leave_out_mistakes() -> None:
    """Leave them out in this process; it does not matter how often this is called."""
    logging.getLogger(_LIBRARY).addFilter(_is_of_the_server)
    logging.getLogger(_LOOP).addFilter(_is_no_name)


def _is_of_the_server(record: logging.LogRecord) -> bool:
    """Whether a record is about more than metadata that are no UTF-8 (they are read as Latin-1), or such a name."""
    return record.msg != "Invalid encoding on %s" and not isinstance(record.msg, UnicodeDecodeError)


def _is_no_name(record: logging.LogRecord) -> bool:
    """Whether a record is about more than the library's task that such a name has ended."""
    return record.exc_info is None or record.exc_info[0] is not UnicodeDecodeError
