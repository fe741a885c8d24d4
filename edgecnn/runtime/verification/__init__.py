"""Compares a bundle's answers with its reference. Must not import PyTorch: recorded logits replace it on a device."""
