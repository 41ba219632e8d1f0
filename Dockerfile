# Touchbook, both shapes: one process with its data under /data, or a replica or worker on Kafka and ClickHouse.
#   docker build -t touchbook . && docker run -p 127.0.0.1:8750:8750 -v touchbook-data:/data touchbook

FROM python:3.11-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PATH=/opt/touchbook/bin:$PATH
RUN python -m venv /opt/touchbook
WORKDIR /source
# The libraries first: they change less often than the code. Locked with hashes; nothing else is fetched.
COPY requirements/cluster.txt requirements/cluster.txt
RUN pip install --require-hashes --requirement requirements/cluster.txt
COPY pyproject.toml README.md ./
COPY core core
COPY schemas schemas
COPY streams streams
COPY projections projections
COPY api api
COPY cli cli
RUN pip wheel --no-deps --no-build-isolation --wheel-dir dist . && pip install --no-deps dist/*.whl

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home touchbook && install -d -o touchbook -g touchbook -m 700 /data /keys
COPY --from=build /opt/touchbook /opt/touchbook
# Inside the container it must listen on all addresses; which of them the world can reach is said where it is published.
ENV PATH=/opt/touchbook/bin:$PATH PYTHONDONTWRITEBYTECODE=1 TOUCHBOOK_DATA=/data TOUCHBOOK_HOST=0.0.0.0 TOUCHBOOK_PORT=8750
USER touchbook
WORKDIR /data
VOLUME /data
EXPOSE 8750
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as ask; ask.build_opener(ask.ProxyHandler({})).open('http://127.0.0.1:8750/healthz', timeout=2)"]
ENTRYPOINT ["touchbook"]
CMD ["serve"]
