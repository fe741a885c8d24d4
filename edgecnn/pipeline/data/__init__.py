"""Data sources and image folders, their splits, and digests.

Do not import torch here: quantization also reads images, and torch takes 500 MB of memory.
"""
