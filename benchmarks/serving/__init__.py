"""`edgecnn serve`: requests a second and latency beside other servers, overload, endurance, and the protocol.

`peers/` holds the peers' servers, which run in environments of their own.
"""
