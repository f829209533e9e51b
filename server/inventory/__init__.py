"""What is there: stock locations, levels, allocations."""
