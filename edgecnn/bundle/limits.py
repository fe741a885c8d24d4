"""Limits of bundles and images. Imports nothing, because the command line shows them in its help."""

MAX_PIXELS = 64_000_000
"""Largest width × height of an image that is decoded: above usual phone pictures, 192 MB as RGB."""

FULL_RANGE = 127
PORTABLE_RANGE = 64
"""Largest weight magnitude at which two products with uint8 cannot overflow 16 bits: 2 · 255 · 64 = 32,640."""

MAX_BAD = 0.05
"""Largest share of damaged images in a data set that are skipped. One is always allowed."""
