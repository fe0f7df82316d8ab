#!/usr/bin/env bash
# Make the bucket of OCR_OUTPUT in the store at $1, unless it is there.
set -euo pipefail

: "${AWS_ACCESS_KEY_ID:?set in .env}" "${AWS_SECRET_ACCESS_KEY:?set in .env}"
[[ ${OCR_OUTPUT:?} == s3://* ]] || { echo "OCR_OUTPUT is $OCR_OUTPUT, which is no bucket: nothing to make"; exit 0; }
bucket=${OCR_OUTPUT#s3://}
bucket=${bucket%%/*}
# From standard input, because anyone on the machine can read a command line.
status=$(printf 'user = "%s:%s"\n' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" | curl --config - --silent --show-error \
  --output /dev/null --write-out '%{http_code}' --aws-sigv4 aws:amz:us-east-1:s3 --request PUT "$1/$bucket")
# 409: it is there.
[[ $status == 200 || $status == 409 ]] || { echo "the store answered $status to making the bucket $bucket"; exit 1; }
