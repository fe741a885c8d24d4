"""Whether a server does what the Open Inference Protocol v2 says, over HTTP: a client, for servers of any make.

It knows nothing of edgecnn's own server, imports nothing of it, and asks only what any client may ask.
"""
