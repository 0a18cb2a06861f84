"""Turning a scan into jobs, running them, and remembering what was done."""
