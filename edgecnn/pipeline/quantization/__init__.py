"""From an FP32 bundle to an INT8 bundle. No torch here: a bundle and images are all that it needs."""
