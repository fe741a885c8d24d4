"""The live page of a training: a small web server on the loopback, in a thread of the training.

It shows a training and cannot influence it. It must not import PyTorch.
"""
