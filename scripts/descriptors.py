"""`python scripts/descriptors.py`: compile the gRPC protocol's definition to the descriptors that the server loads.

The output is a set of descriptors instead of Python code. Generated code registers its messages for the whole process
and would conflict with a client for the same protocol.
"""

import tempfile
from pathlib import Path

from grpc_tools import protoc

PROTO = Path(__file__).parent.parent / "edgecnn" / "protocol" / "grpc" / "open_inference.proto"
DESCRIPTORS = PROTO.with_suffix(".binpb")


def compiled() -> bytes:
    """Return the definition as a serialized FileDescriptorSet, without comments.

    Raises:
        RuntimeError: the compiler rejects it and prints the reason on stderr.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        code = protoc.main(["protoc", f"-I{PROTO.parent}", f"--descriptor_set_out={out}", PROTO.name])
        if code:
            raise RuntimeError(f"{PROTO.name} cannot be compiled: see the compiler's message above")
        return out.read_bytes()


def main() -> None:
    """Write the descriptors next to the definition."""
    DESCRIPTORS.write_bytes(compiled())
    print(f"{DESCRIPTORS.name}: {DESCRIPTORS.stat().st_size} bytes")


if __name__ == "__main__":
    main()
