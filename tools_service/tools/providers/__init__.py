"""Where search results and pages come from, one file for each provider."""
