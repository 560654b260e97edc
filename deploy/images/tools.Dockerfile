# The demo's own programs: card processor sandbox, sign-in provider, mail and SMS sink, telemetry. The command is a module of deploy.local.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS packages
RUN python -m venv /venv
COPY requirements/base.txt /requirements/
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /requirements/base.txt
COPY requirements/tools.txt /requirements/
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /requirements/tools.txt
WORKDIR /app
COPY shared shared
COPY deploy deploy
RUN /venv/bin/python -m compileall -q shared deploy && install -d -o 10001 -g 10001 /data

FROM ${PYTHON_IMAGE}
COPY --from=packages /venv /venv
COPY --from=packages /app /app
COPY --from=packages --chown=10001:10001 /data /data
COPY deploy/images/health.py /health.py
ENV PATH=/venv/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HTTP_PORT=8080
WORKDIR /app
USER 10001:10001
VOLUME /data
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-I", "-S", "/health.py"]
ENTRYPOINT ["python", "-m"]
