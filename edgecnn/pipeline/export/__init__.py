"""Export a checkpoint to a proven FP32 bundle."""
