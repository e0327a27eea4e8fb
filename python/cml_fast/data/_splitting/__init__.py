"""The ways to split interactions; each is a function that says in which part each one is."""
