"""Settings: reading, validation and the facts that follow from them."""
