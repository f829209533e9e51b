"""What was ordered: the one aggregate of every channel."""
