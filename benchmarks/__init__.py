"""How fast Millstream is, as ratios to what it is built on; see README.md."""
