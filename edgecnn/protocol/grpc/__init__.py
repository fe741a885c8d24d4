"""Codec of the protocol's protobuf messages. Must not import grpcio."""
