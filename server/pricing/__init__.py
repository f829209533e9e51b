"""What things cost: price lists and entries."""
