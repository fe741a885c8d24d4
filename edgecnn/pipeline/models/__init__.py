"""The networks, one file a family, and the registry through which everything else finds them."""
