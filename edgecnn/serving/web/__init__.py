"""The web page: a model, an image, its answer, and the proof behind it."""
