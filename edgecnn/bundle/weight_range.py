"""How large a quantized weight may be; imports nothing, so that the command line can say it at once."""

FULL_RANGE = 127
PORTABLE_RANGE = 64
"""Largest weight magnitude at which two products with uint8 cannot overflow 16 bits: 2 · 255 · 64 = 32,640."""
