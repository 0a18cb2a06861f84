"""How good masks are: per case and label, and on images that are empty."""
