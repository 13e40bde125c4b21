# The gateway, and what keeps Triton's models. Probes are Kubernetes' own, so there is no HEALTHCHECK.
#   docker build -f k8s/docker/serve.Dockerfile -t vitrine/serve:0.1.0 .
# BASE names one patch release of Python on one release of Debian; add @sha256:... as your registry mirrors it, to hold the very bytes.
ARG BASE=python:3.11.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
COPY . .
RUN k8s/docker/install-serve.sh /opt/vitrine

FROM ${BASE}
RUN useradd --uid 10001 --user-group --home-dir /tmp --no-create-home --shell /usr/sbin/nologin vitrine
COPY --from=build /opt/vitrine /opt/vitrine
ENV PATH=/opt/vitrine/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 DO_NOT_TRACK=1 AWS_EC2_METADATA_DISABLED=true
USER 10001:10001
WORKDIR /srv/vitrine
CMD ["vitrine", "--help"]
