"""What slices stand on, and knows none of them."""
