"""Bounds that options show: here, where reading them loads neither NumPy nor Pillow."""

MAX_PIXELS = 64_000_000
"""Largest width × height that is decoded: above every phone's usual picture, 192 MB as RGB."""
