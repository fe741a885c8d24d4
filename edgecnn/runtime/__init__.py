"""Opens bundles on engines and classifies images. Must not import PyTorch, onnx, or the pipeline."""
