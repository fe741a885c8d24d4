"""From images to an INT8 bundle: train, evaluate, export, quantize. Must not be imported on a device."""
