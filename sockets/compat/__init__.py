"""The names and forms of other systems, over ours: one file each."""
