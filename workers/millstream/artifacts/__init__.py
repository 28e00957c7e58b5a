"""Model files, factories and codecs that the settings name."""
