"""Changes as data: plans, change sets, paths and formats. Pure: bytes and values in, values out."""
