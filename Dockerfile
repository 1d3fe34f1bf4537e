# An image of `lading serve`: production dependencies and nothing that a build needs.
#   docker build --tag lading .
#   docker run --read-only --tmpfs /tmp --volume lading:/data --publish 8080:8080 lading
# Both bases can be named otherwise: a mirror, or a digest.
ARG BUILD_BASE=node:26-trixie-slim
ARG BASE=debian:trixie-slim

# Nothing in here is compiled, so this stage runs on the builder's own machine whatever the image is for.
FROM --platform=$BUILDPLATFORM ${BUILD_BASE} AS dependencies
ARG TARGETARCH
WORKDIR /lading
COPY package.json package-lock.json .npmrc ./
# The Node that Lading runs on is one of these packages, pinned like the others. Its headers and manual stay behind.
RUN cpu=$(case "$TARGETARCH" in amd64) echo x64 ;; *) echo "$TARGETARCH" ;; esac) \
  && npm ci --omit=dev --os=linux --cpu="$cpu" --cache=/tmp/npm \
  && rm -rf node_modules/node-linux-*/include node_modules/node-linux-*/share node_modules/node-linux-*/CHANGELOG.md \
  && find node_modules -name '*.map' -delete

FROM ${BASE}
# What Node links to and the base lacks.
RUN apt-get update \
  && apt-get install --yes --no-install-recommends libatomic1 \
  && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/*
# A number, so that Kubernetes sees without looking into the image that it is not root's.
ARG UID=10001
RUN install --directory --owner="$UID" --group="$UID" --mode=0700 /data
WORKDIR /lading
COPY --from=dependencies /lading ./
COPY bin bin
COPY contract contract
COPY server server
COPY LICENSE ./

ENV LADING_LISTEN=:8080 LADING_DATA_DIR=/data
USER $UID:$UID
VOLUME /data
EXPOSE 8080
# Ready, and not only there. Told on the program's own port, whatever LADING_LISTEN says.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/lading/bin/lading", "health"]
ENTRYPOINT ["/lading/bin/lading"]
CMD ["serve"]

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Lading" \
  org.opencontainers.image.description="Self-hosted container registry platform" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="$VERSION" \
  org.opencontainers.image.revision="$REVISION"
