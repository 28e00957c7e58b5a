"""Model files and factories that the settings name."""
