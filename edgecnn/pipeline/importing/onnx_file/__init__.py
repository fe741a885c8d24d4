"""Take an ONNX classifier from elsewhere: open it, find its ends, and give its graph a bundle's input and output."""
