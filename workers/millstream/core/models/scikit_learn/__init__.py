"""scikit-learn's models."""
