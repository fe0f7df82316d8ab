# The image of every Airflow service: the official image with what the lock has of some extras, and the code.
#   docker build .                                    what docker-compose.yaml runs
#   docker build --build-arg EXTRAS="fleet heic" .    without Paddle (700 MB) and KubernetesExecutor
#   docker build --build-arg MODELS="medium" .        with models in /opt/airflow/models, so that nothing is downloaded
#   docker build --build-arg DEVICE=gpu .             the GPU worker: with Paddle and ONNX Runtime for CUDA 12
# AIRFLOW_IMAGE names the same base in a registry of your own, VERSION and REVISION what the labels say.
ARG AIRFLOW_IMAGE=apache/airflow:3.3.2-python3.12
ARG DEVICE=cpu
ARG EXTRAS="fleet heic kubernetes paddle"

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
# exact: the official image carries dozens of providers whose dependencies are not the locked ones, and Airflow would
# load them. The lock, as constraints, gives every version and hash. Bytecode is compiled because the containers' user
# may not write it later.
ARG EXTRAS
RUN --mount=type=cache,target=/tmp/uv-cache,uid=50000 \
    --mount=type=bind,source=pyproject.toml,target=/tmp/project/pyproject.toml \
    --mount=type=bind,source=requirements.txt,target=/tmp/project/requirements.txt \
    cd /tmp/project \
 && /usr/local/bin/uv pip install --cache-dir /tmp/uv-cache --link-mode copy --compile-bytecode --exact \
      --require-hashes --constraint requirements.txt $(printf -- '--extra %s ' ${EXTRAS}) --requirement pyproject.toml \
 && python -c "import airflow, cv2, onnxruntime, openvino, rapidocr" \
 && case " ${EXTRAS} " in *" paddle "*) python -c "import paddle" ;; esac

# Models are downloaded by PaddleX, which goes with this stage where EXTRAS leaves it out.
FROM locked AS models
ARG MODELS=""
RUN --mount=type=cache,target=/tmp/uv-cache,uid=50000 \
    --mount=type=bind,source=pyproject.toml,target=/tmp/project/pyproject.toml \
    --mount=type=bind,source=requirements.txt,target=/tmp/project/requirements.txt \
    --mount=type=bind,source=include,target=/tmp/include \
    cd /tmp/project \
 && if [ -n "${MODELS}" ]; then \
      /usr/local/bin/uv pip install --cache-dir /tmp/uv-cache --link-mode copy \
        --require-hashes --constraint requirements.txt --extra paddle --requirement pyproject.toml \
      && OCR_MODELS=/opt/airflow/models PYTHONPATH=/tmp/include python -m ocr_pipeline.ocr.hub ${MODELS}; \
    fi

FROM locked AS cpu

FROM locked AS gpu
ARG EXTRAS
RUN case " ${EXTRAS} " in *" paddle "*) ;; *) echo "DEVICE=gpu needs the extra paddle in EXTRAS"; exit 1 ;; esac
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
COPY --from=models --chown=50000:0 /opt/airflow/models /opt/airflow/models
COPY dags /opt/airflow/dags
COPY plugins /opt/airflow/plugins
COPY include /opt/airflow/include
COPY scripts/init_airflow.sh scripts/make_bucket.sh scripts/worker_healthy.sh /opt/airflow/scripts/
ENV PYTHONPATH=/opt/airflow:/opt/airflow/include:/opt/airflow/plugins \
    OCR_MODELS=/opt/airflow/models
ARG AIRFLOW_IMAGE
ARG EXTRAS
ARG VERSION=0.1.0
ARG REVISION=unknown
RUN --mount=type=bind,source=scripts/write_sbom.py,target=/tmp/write_sbom.py \
    python /tmp/write_sbom.py --version "${VERSION}" --output /opt/airflow/sbom.cdx.json
LABEL org.opencontainers.image.title="airflow-bulk-ocr" \
      org.opencontainers.image.description="Bulk image OCR on Apache Airflow" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${AIRFLOW_IMAGE}" \
      airflow-bulk-ocr.extras="${EXTRAS}" \
      airflow-bulk-ocr.sbom="/opt/airflow/sbom.cdx.json"
