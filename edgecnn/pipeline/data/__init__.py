"""Images with targets: named sources and image folders, their splits, and the digests of those.

No torch here: quantization reads images too, and importing torch would cost it 500 MB.
"""
