"""The commands of `millstream`, a file each."""
