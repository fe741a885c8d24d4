"""`edgecnn serve`: the Open Inference Protocol over HTTP and gRPC. Must not import the pipeline."""
