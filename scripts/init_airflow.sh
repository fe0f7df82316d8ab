#!/usr/bin/env bash
# Prepares Airflow's database before the other services start. Runs at every start and may run again at any time:
# migrations and the pool follow the image and .env; an administrator who exists is left alone.
set -euo pipefail

airflow db migrate
# A task that names a missing pool waits forever.
airflow pools set ocr "${OCR_SLOTS:?set in .env}" "Batches read at the same time"
: "${ADMIN_PASSWORD:?set in .env}"
# The password, asked for twice, comes from standard input, because anyone on the machine can read a command line. In a
# session of its own the command has no terminal that it would ask instead.
printf '%s\n%s\n' "$ADMIN_PASSWORD" "$ADMIN_PASSWORD" | setsid --wait \
  airflow users create --role Admin --username "${ADMIN_USER:?set in .env}" \
  --firstname Airflow --lastname Administrator --email "${ADMIN_USER}@localhost"
