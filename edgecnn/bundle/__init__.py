"""What travels: the folder that leaves the workstation and answers on the device.

Standard library, numpy and Pillow only. Nothing here knows an engine or PyTorch.
"""
