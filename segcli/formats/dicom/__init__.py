"""DICOM images in, DICOM SEG out. The way in is ``segcli.formats.dicom.format.FORMAT``."""
