"""Quantize an FP32 bundle to an INT8 bundle. Do not import torch here."""
