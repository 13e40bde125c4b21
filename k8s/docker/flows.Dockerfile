# Prefect's server and workers, and the catalogue of a new gateway.
#   docker build -f k8s/docker/flows.Dockerfile -t vitrine/flows:0.1.0 .
# BASE names one patch release of Python on one release of Debian; add @sha256:... as your registry mirrors it, to hold the very bytes.
ARG BASE=python:3.11.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
COPY . .
RUN k8s/docker/install-flows.sh /opt/vitrine

FROM ${BASE}
# Git, which clones and commits; of the release of Debian, security fixes included
RUN apt-get update && apt-get install -y --no-install-recommends "git=1:2.39.*" && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --user-group --home-dir /tmp --no-create-home --shell /usr/sbin/nologin vitrine
COPY --from=build /opt/vitrine /opt/vitrine
ENV PATH=/opt/vitrine/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 DO_NOT_TRACK=1 AWS_EC2_METADATA_DISABLED=true
# else /var/tmp/dvc, which DVC makes before any command, and cannot on a root that is read-only
ENV DVC_SITE_CACHE_DIR=/tmp/dvc
USER 10001:10001
WORKDIR /srv/vitrine
CMD ["vitrine", "--help"]
