#!/usr/bin/env bash
# Prepares Airflow's database before the other services start. Runs at every start and may run again at any time:
# migrations and the pool follow the image and .env; an administrator who exists is left alone.
set -euo pipefail

airflow db migrate
# A task that names a missing pool waits forever.
airflow pools set ocr "${OCR_SLOTS:?set in .env}" "Batches read at the same time"
airflow users create --role Admin --username "${ADMIN_USER:?set in .env}" --password="${ADMIN_PASSWORD:?set in .env}" \
  --firstname Airflow --lastname Administrator --email "${ADMIN_USER}@localhost"
