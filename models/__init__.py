"""The demo model: a tiny tool-calling transformer, its data, its training and its evaluation."""
