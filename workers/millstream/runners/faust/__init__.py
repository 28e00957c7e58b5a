"""The runner inside of a Faust app."""
