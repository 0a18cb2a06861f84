"""A closed table of file formats: scan, read in separate processes, write atomically."""
