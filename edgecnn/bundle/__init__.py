"""The bundle format: manifest, store, self-test, preprocessing, and decoding. Must not import an engine or PyTorch."""
