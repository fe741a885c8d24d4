"""Writes pages about bundles and networks: the report, and the comparison of networks. Must not train or quantize."""
