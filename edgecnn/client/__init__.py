"""`edgecnn.Client`: classifies images on servers. Must not import an engine or the server."""
