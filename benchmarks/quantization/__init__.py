"""INT8 by edgecnn, ONNX Runtime and NNCF: fidelity, other processors, latency, and cost of calibration."""
