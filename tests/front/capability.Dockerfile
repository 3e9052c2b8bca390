# Caddy like in the official image: in a distribution with cp, run by root, and with a file capability.
ARG CADDY
ARG DEBIAN
FROM ${CADDY} AS caddy
FROM ${DEBIAN}
RUN apt-get update && apt-get install -y --no-install-recommends libcap2-bin && rm -rf /var/lib/apt/lists/*
COPY --from=caddy /usr/bin/caddy /usr/bin/caddy
RUN setcap cap_net_bind_service=+ep /usr/bin/caddy
CMD ["caddy", "run"]
