"""What an image costs besides being read: a run through a real Airflow whose engine has nothing to do."""
