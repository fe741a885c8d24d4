"""The Open Inference Protocol v2 without a network: bytes to tensors, tensors to bytes."""
