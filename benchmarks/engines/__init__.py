"""Networks in one process: time beside PyTorch, ONNX Runtime and OpenVINO, what the runtime costs, and parity.

Also how long training waits for data.
"""
