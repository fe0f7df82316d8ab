"""A fleet on one machine: PostgreSQL, Redis, and an Airflow whose Celery workers are processes of their own."""
