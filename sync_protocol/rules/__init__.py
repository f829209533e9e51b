"""What it means: pure functions over rows that run unchanged on the device and on the server."""
