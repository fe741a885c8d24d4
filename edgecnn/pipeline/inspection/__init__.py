"""What a network is made of, layer by layer: shapes, parameters, work, and how much of the image each layer sees."""
