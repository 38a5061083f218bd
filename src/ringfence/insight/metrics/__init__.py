"""What CloudWatch makes of samples: statistics, metric math, states of alarms. Pure; samples are in `store/metrics.py`."""
