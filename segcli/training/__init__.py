"""Training, calibration of the gate."""
