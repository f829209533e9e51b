"""What is sold: products, categories, units, packs."""
