"""Legacy data in."""
