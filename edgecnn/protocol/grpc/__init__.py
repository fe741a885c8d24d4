"""The protocol's protobuf messages: bytes to tensors and back. Must not import grpcio."""
