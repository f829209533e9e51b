"""The protocol's server end: bytes in, bytes out."""
