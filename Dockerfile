# The image of every Airflow service: the official image with exactly the lock installed and the code copied in.
#   docker build .                                          what docker-compose.yaml runs
#   docker build --build-arg LOCK=requirements-slim.txt .   the same without Paddle (700 MB) and the demo's fonts
#   docker build --build-arg DEVICE=gpu .                   the GPU worker: with Paddle and ONNX Runtime for CUDA 12
# AIRFLOW_IMAGE names the same base in a registry of your own.
ARG AIRFLOW_IMAGE=apache/airflow:3.3.2-python3.12
ARG DEVICE=cpu
ARG LOCK=requirements.txt

FROM ${AIRFLOW_IMAGE} AS locked
# A base with the certificate authority of your own network in its system's store is enough: uv looks there.
ENV UV_SYSTEM_CERTS=true
USER 0
# OpenCV links libGL and GLib, Paddle links OpenMP. uv goes outside the environment, which the sync below empties.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 libgomp1 fonts-noto-core fonts-noto-cjk \
 && rm -rf /var/lib/apt/lists/* \
 && install -m 755 "$(command -v uv)" /usr/local/bin/uv \
 && install -d -o airflow -g 0 -m 2775 /opt/airflow/logs /opt/airflow/models /opt/airflow/output
USER 50000:0
# sync, not install: the official image carries dozens of providers whose dependencies are not the locked ones, and
# Airflow would load them. Bytecode is compiled because the containers' user may not write it later.
ARG LOCK
RUN --mount=type=cache,target=/tmp/uv-cache,uid=50000 \
    --mount=type=bind,source=requirements.txt,target=/tmp/requirements.txt \
    --mount=type=bind,source=requirements-slim.txt,target=/tmp/requirements-slim.txt \
    /usr/local/bin/uv pip sync --cache-dir /tmp/uv-cache --link-mode copy --compile-bytecode \
      --require-hashes "/tmp/${LOCK}" \
 && python -c "import airflow, cv2, onnxruntime, openvino, rapidocr" \
 && { [ "${LOCK}" != requirements.txt ] || python -c "import paddle"; }

FROM locked AS cpu

FROM locked AS gpu
ARG LOCK
RUN [ "${LOCK}" = requirements.txt ] || { echo "DEVICE=gpu needs LOCK=requirements.txt: it has Paddle"; exit 1; }
# Both CPU packages hold the very files that their CUDA builds hold, so they go first. The lock constrains the rest;
# CUDA's libraries are those that paddlepaddle-gpu asks for exactly and onnxruntime-gpu within their major version.
RUN --mount=type=cache,target=/tmp/uv-cache,uid=50000 \
    --mount=type=bind,source=requirements.txt,target=/tmp/requirements.txt \
    --mount=type=bind,source=requirements-gpu.txt,target=/tmp/requirements-gpu.txt \
    /usr/local/bin/uv pip uninstall paddlepaddle onnxruntime \
 && /usr/local/bin/uv pip install --cache-dir /tmp/uv-cache --link-mode copy --compile-bytecode \
      --constraint /tmp/requirements.txt --requirement /tmp/requirements-gpu.txt
USER 0
# Paddle and our own engine find the CUDA wheels' libraries by themselves; PaddleOCR's ONNX Runtime asks the dynamic
# linker. The last line stops the build when one that ONNX Runtime needs is missing.
# hadolint ignore=DL4006
RUN find /home/airflow/.local/lib -path '*/site-packages/nvidia/*/lib' -type d > /etc/ld.so.conf.d/nvidia-wheels.conf \
 && ldconfig \
 && ! ldd /home/airflow/.local/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime_providers_cuda.so \
    | grep 'not found'
USER 50000:0
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM ${DEVICE}
COPY dags /opt/airflow/dags
COPY plugins /opt/airflow/plugins
COPY include /opt/airflow/include
COPY scripts/init_airflow.sh /opt/airflow/scripts/
ENV PYTHONPATH=/opt/airflow:/opt/airflow/include:/opt/airflow/plugins
