# The tools service: Python and no vLLM.

FROM python:3.11-slim-bookworm
WORKDIR /app
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY constraints/cpu.txt constraints.txt
COPY pyproject.toml .
# With the search providers that need a library, and Redis.
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
more = p['optional-dependencies']; \
open('needs.txt', 'w').write('\n'.join(p['dependencies'] + more['tavily'] + more['ddgs'] + more.get('redis', [])))" \
    && python -m pip install -c constraints.txt -r needs.txt
RUN useradd --uid 10001 --no-create-home roundhouse \
    && install -d -o roundhouse -g roundhouse /var/lib/roundhouse
COPY README.md LICENSE ./
COPY engine engine
COPY gateway gateway
COPY models models
COPY roundhouse roundhouse
COPY telemetry telemetry
COPY tools_service tools_service
COPY benchmarks benchmarks
RUN python -m pip install --no-deps .
USER 10001
EXPOSE 8001
CMD ["roundhouse", "run", "tools_service"]
