"""Explains checkpoints: exports them for one image, and adds what needs PyTorch, such as Grad-CAM."""
