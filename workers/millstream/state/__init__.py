"""A partition's state: restore, snapshots, life cycle."""
