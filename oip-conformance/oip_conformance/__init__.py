"""Test whether an HTTP server conforms to the Open Inference Protocol v2.

The suite sends requests as any client may send them. It depends on no server and imports none.
"""

__version__ = "0.1.0"
