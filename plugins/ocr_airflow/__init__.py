"""The pipeline in Airflow: its operators, its form, and what the deployment decides.

A package that DAGs import. Airflow runs every other Python file in this folder by itself, under its bare
name, so the package is listed in ``.airflowignore``.
"""
