"""The join of predictions with labels that come later."""
