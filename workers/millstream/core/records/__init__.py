"""The records that a worker writes, as schemas/ describes them."""
