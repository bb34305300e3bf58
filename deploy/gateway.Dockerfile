# The gateway, with the engines in its process. Two images: gpu and cpu.

# What it needs beside vLLM, as a list that changes only with pyproject.toml.
FROM python:3.11-slim-bookworm AS needs
WORKDIR /needs
COPY pyproject.toml .
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
more = p['optional-dependencies']; \
open('all.txt', 'w').write('\n'.join(p['dependencies'] + more['redis'])); \
open('cpu.txt', 'w').write('\n'.join(more['cpu']))"

# vLLM with its own Python, PyTorch and CUDA. What it brings stays as it is: pip may only add.
FROM vllm/vllm-openai:v0.32.0 AS gpu
WORKDIR /app
ENV PIP_NO_CACHE_DIR=1 PIP_BREAK_SYSTEM_PACKAGES=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN --mount=from=needs,source=/needs,target=/needs \
    python3 -m pip list --format=freeze > /tmp/as-shipped.txt \
    && python3 -m pip install -c /tmp/as-shipped.txt -r /needs/all.txt \
    && rm /tmp/as-shipped.txt
# The home is the cache's volume: models, compiled kernels. It belongs to the user by being made here.
RUN useradd --uid 10001 --home-dir /var/cache/roundhouse --create-home roundhouse
COPY pyproject.toml README.md LICENSE ./
COPY engine engine
COPY gateway gateway
COPY models models
COPY roundhouse roundhouse
COPY telemetry telemetry
COPY tools_service tools_service
COPY benchmarks benchmarks
RUN python3 -m pip install --no-deps .
USER 10001
ENTRYPOINT []
EXPOSE 8000
CMD ["roundhouse", "run", "gateway", "--profile", "qwen3-8b"]

FROM python:3.11-slim-bookworm AS cpu
WORKDIR /app
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libnuma1 \
    && rm -rf /var/lib/apt/lists/*
# Where PyTorch's CPU build is found; see PyTorch's install page.
ARG PIP_EXTRA_INDEX_URL=""
COPY constraints/cpu.txt constraints.txt
# The last three are demanded by vLLM and used by no text model; CUDA builds of them break it.
RUN --mount=from=needs,source=/needs,target=/needs \
    python3 -m pip install -c constraints.txt -r /needs/all.txt -r /needs/cpu.txt \
    && python3 -m pip uninstall -y torchvision torchaudio torchcodec
RUN useradd --uid 10001 --home-dir /var/cache/roundhouse --create-home roundhouse
COPY pyproject.toml README.md LICENSE ./
COPY engine engine
COPY gateway gateway
COPY models models
COPY roundhouse roundhouse
COPY telemetry telemetry
COPY tools_service tools_service
COPY benchmarks benchmarks
RUN python3 -m pip install --no-deps .
USER 10001
EXPOSE 8000
CMD ["roundhouse", "run", "gateway"]
