#!/usr/bin/env bash
# Whether the Celery worker of this container is connected to its broker. Asking it through the broker
# (`celery inspect ping`) starts Python with all of Airflow for seconds of processor time, each time anew, and comes too
# late on a machine that is busy reading.
set -euo pipefail

address=${AIRFLOW__CELERY__BROKER_URL:?}
address=${address##*@}
address=${address#*://}
port=${address%%/*}
port=${port##*:}
[[ $port =~ ^[0-9]+$ ]] || port=6379 # Redis' own, where the URL names none

# The kernel's tables: number, local address, remote address in hexadecimal, state; 01 is an open connection.
grep -qE "^ *[0-9]+: [0-9A-F]+:[0-9A-F]+ [0-9A-F]+:$(printf %04X "$port") 01 " /proc/net/tcp /proc/net/tcp6
