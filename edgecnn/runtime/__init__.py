"""Where bundles run: numpy and one engine. No PyTorch, no ONNX package; nothing here knows the pipeline."""
