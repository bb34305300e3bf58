"""The tools themselves, one file each, and the registry that lists them."""
