"""Train, evaluate, export and quantize networks. Must not be imported on a device."""
