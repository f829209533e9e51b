"""First sync as images: shared buckets prebuilt as compressed files that a device downloads, checks and goes on from.

An optimisation: without any image every device gets the same rows through the log.
"""
