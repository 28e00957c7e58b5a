"""Settings: read, validated, and the facts that derive from them."""
