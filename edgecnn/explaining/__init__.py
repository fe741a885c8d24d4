"""Shows what a bundle computes for one image: feature maps, contributions, occlusion. It computes no gradients.

It runs the bundle's graph with extra outputs. It must not import the pipeline.
"""
