"""A partition's processor, and the replay that rebuilds it."""
