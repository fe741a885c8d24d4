"""WHO MADE A BUNDLE: signatures of OpenSSF's model-signing, with a key pair. Not loaded where nothing is signed."""
