"""A demo company, made of a seed, and the story that is told with it."""
