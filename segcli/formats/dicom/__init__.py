"""DICOM images in, DICOM SEG out."""
