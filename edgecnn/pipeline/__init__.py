"""Where bundles are made: training, export, quantization. Never imported by the device part."""
