"""The façade, the pipeline that knows the order of the steps, and the wiring."""
