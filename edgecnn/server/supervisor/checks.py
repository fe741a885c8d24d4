"""What the supervisor checks before it binds a port and starts the worker."""

import logging
from collections.abc import Sequence

from edgecnn.errors import UsageError
from edgecnn.protocol.api_key import read_api_key
from edgecnn.server.models.catalogue import Source
from edgecnn.server.options import ServeOptions

log = logging.getLogger("edgecnn.server")


def check_start(sources: Sequence[Source], options: ServeOptions) -> None:
    """Check the cores, keys and certificates, and log the warnings of the sources.

    Raises:
        UsageError: there are too few cores or too little memory, a key or a certificate cannot be read, or, with
            `strict`, a source is ambiguous.
    """
    for warning in filter(None, (source.warning for source in sources)):
        if options.strict:
            raise UsageError(warning)
        log.warning("%s", warning)
    options.check_cores()
    options.check_memory()
    if options.api_key_file is not None:
        read_api_key(options.api_key_file)
    if options.tls is not None:
        from edgecnn.server.tls import server_context  # takes 5 MB

        server_context(*options.tls)
    if options.require_signature is not None:
        from edgecnn.server.preflight.signature_check import check_key

        check_key(options.require_signature)
