"""segcli: batch segmentation of medical images. Mixed folders in, matching masks out, models as plugins."""
