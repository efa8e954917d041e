"""The wire formats: one file each; `base` says what a protocol is."""
