"""Airflow on one machine: started, used and stopped by the Makefile's commands."""
