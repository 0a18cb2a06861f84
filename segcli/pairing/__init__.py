"""Which mask belongs to which image, and which prediction to which reference: by name, and by what DICOM SEGs say."""
