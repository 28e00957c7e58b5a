"""What `millstream check` looks at."""
