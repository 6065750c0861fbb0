# syntax=docker/dockerfile:1
# docker build -t dbproxy . && docker run -p 6432:6432 -e DATABASE_URL=postgresql://user:password@host/db dbproxy

FROM python:3.13-slim-bookworm AS builder
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/dbproxy
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY dbproxy dbproxy
# The last line fails the build if a hot module was not compiled: the image is never the slow build by accident.
RUN /opt/dbproxy/bin/pip install --no-cache-dir --disable-pip-version-check '.[tracing,redis]' \
    && cd / \
    && /opt/dbproxy/bin/python -c 'import dbproxy, sys; sys.exit(not dbproxy.compiled())'

FROM python:3.13-slim-bookworm
# tini is the first process: until Python has handlers, the kernel would keep every signal from a first process.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin dbproxy
COPY --from=builder /opt/dbproxy /opt/dbproxy
# In a container every address is behind the container's own network: clients are listened to on all of them. Metrics
# stay inside it until they are asked for, with a token: -e DBPROXY_HTTP__HOST=0.0.0.0 -e DBPROXY_HTTP__TOKEN=…
ENV PATH=/opt/dbproxy/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DBPROXY_LISTEN__HOST=0.0.0.0
USER 10001:10001
WORKDIR /etc/dbproxy
EXPOSE 6432
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as http; http.urlopen('http://127.0.0.1:' + os.environ.get('DBPROXY_HTTP__PORT', '9127') + '/health', timeout=2)"]
ENTRYPOINT ["tini", "--", "dbproxy"]
CMD ["serve"]
