"""The pages that show what runs have read, in the Airflow UI.

Whoever looks sees what Airflow lets them see (``rights``); nothing is changed here, and nothing is fetched for a
visitor but what the run's own folder holds. Texts, links and names come from strangers: templates escape all of it.
"""

PREFIX = "/ocr"
"""Where Airflow serves the pages, below its own address."""
