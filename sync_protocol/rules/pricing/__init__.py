"""What a basket costs, and why: gathered facts in, a price with its explanation out. docs/PRICING.md has the rules."""
