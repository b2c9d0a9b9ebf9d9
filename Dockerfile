# Two stages: what builds stays behind, what runs has no compiler, no cache and no root.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/bursar-bridge
# The dependencies first: they change less often than the code.
COPY requirements/build.txt requirements/service.txt requirements/
RUN pip install --no-deps --require-hashes --requirement requirements/build.txt \
 && /opt/bursar-bridge/bin/pip install --only-binary :all: --no-deps --require-hashes \
      --requirement requirements/service.txt
COPY . .
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheel . \
 && /opt/bursar-bridge/bin/pip install --no-deps --no-index /tmp/wheel/*.whl \
 && /opt/bursar-bridge/bin/pip check \
 && /opt/bursar-bridge/bin/pip uninstall --quiet --yes pip

FROM python:3.13-slim
LABEL org.opencontainers.image.title="Bursar Bridge" \
      org.opencontainers.image.description="Library fines to the bursar and back" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin bursar \
 && install --directory --owner bursar --group bursar /var/lib/bursar-bridge
COPY --from=build /opt/bursar-bridge /opt/bursar-bridge
ENV PATH=/opt/bursar-bridge/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BURSAR_OPS_HOST=0.0.0.0 \
    BURSAR_OPS_PORT=8080
USER bursar
WORKDIR /var/lib/bursar-bridge
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/livez', timeout=4)"]
ENTRYPOINT ["bursar-bridge"]
CMD ["run"]
