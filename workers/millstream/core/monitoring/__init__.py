"""Quality of predictions, as a pure fold."""
