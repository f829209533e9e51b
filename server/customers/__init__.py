"""Who buys and who sells: customers, territories, reps."""
