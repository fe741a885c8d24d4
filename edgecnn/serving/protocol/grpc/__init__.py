"""The Open Inference Protocol v2 in protobuf messages, without a network: bytes to tensors, tensors to bytes."""
