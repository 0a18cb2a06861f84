"""One file per command; click and rich live here and nowhere else."""
