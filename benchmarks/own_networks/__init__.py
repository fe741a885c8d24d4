"""Other people's networks from file to served INT8 bundle, by the commands as a user types them."""
