"""Tiles, gate, blending: from intensities to label maps. torch lives here."""
