"""The runner without a broker."""
