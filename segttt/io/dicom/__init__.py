"""DICOM: folders sorted into series, series read as volumes, segmentations read and written."""
