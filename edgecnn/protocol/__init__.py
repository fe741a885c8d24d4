"""The Open Inference Protocol v2 as types, codecs, and errors. Must not open a socket or an engine.

The client and the server share nothing else.
"""
