"""Image formats in, masks of the same format out.

The ways in are :mod:`segcli.formats.scan` (what is there), :mod:`segcli.formats.readers` (pixels, decoded in processes
of their own) and :mod:`segcli.formats.atomic` (masks, written whole or not at all). Importing this package imports
no imaging library.
"""
