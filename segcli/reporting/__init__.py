"""What a run tells afterwards: report.json and, made from it, volumes.csv, report.html and the report of all shards."""
