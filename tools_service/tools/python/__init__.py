"""The python tool: a model's code, run where it can reach nothing."""
