# The image of django_polls. Build it at the top of the repository:
#   docker build --build-arg VERSION=1.0.0 --build-arg REVISION="$(git rev-parse HEAD)" --tag django-polls:1.0.0 .
# Behind a package mirror, hand pip its configuration as secrets, which leave no trace in the image:
#   --secret id=pip_conf,src=/etc/pip.conf --secret id=ca_certificates,src=/etc/ssl/certs/ca-certificates.crt

ARG BASE_IMAGE=docker.io/library/python:3.13-slim-trixie

FROM ${BASE_IMAGE} AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONDONTWRITEBYTECODE=1

# pip lives in an environment of its own, so that the one that is shipped never has it.
RUN python -m venv /opt/pip && python -m venv --without-pip /opt/venv

# Dependencies before the project: a change of code leaves this layer as it is.
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,source=django_polls/requirements.txt,target=/tmp/requirements.txt \
    --mount=type=bind,source=django_polls/requirements-build.txt,target=/tmp/requirements-build.txt \
    --mount=type=secret,id=pip_conf,target=/etc/pip.conf,required=false \
    --mount=type=secret,id=ca_certificates,target=/run/secrets/ca_certificates,required=false \
    if [ -s /run/secrets/ca_certificates ]; then export PIP_CERT=/run/secrets/ca_certificates; fi; \
    /opt/pip/bin/pip install --require-hashes -r /tmp/requirements-build.txt && \
    /opt/pip/bin/pip --python /opt/venv/bin/python install --no-compile --require-hashes -r /tmp/requirements.txt

# The root file system is read-only later, so bytecode is made now; by content rather than by time, so that the same files
# make the same layer. The sources of translations are never read.
RUN find /opt/venv -name '*.po' -delete && \
    python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

# The project's own package, without a network: the layers before have its dependencies and what builds it.
RUN --mount=type=bind,source=django_polls/packages/cloud-django,target=/tmp/cloud-django \
    /opt/pip/bin/pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /tmp/wheels /tmp/cloud-django && \
    /opt/pip/bin/pip --python /opt/venv/bin/python install --no-compile --no-index --no-deps --find-links /tmp/wheels cloud-django && \
    python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib/python*/site-packages/cloud_django

ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
COPY django_polls ./
# Modes first: a checkout with a strict umask would give files that the site's user cannot read. compileall ends with the
# place of a syntax error, also in files that collectstatic doesn't read. The package is in the virtual environment already.
RUN rm -r packages && \
    chmod -R u=rwX,go=rX . && \
    python -m compileall -q -j 0 --invalidation-mode unchecked-hash . && \
    DJANGO_SETTINGS_MODULE=static_settings python manage.py collectstatic --noinput


FROM ${BASE_IMAGE}

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=config.settings
WORKDIR /app

# Everything belongs to root: the user that runs the site can read it and change nothing.
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app

USER 10001:10001
CMD ["gunicorn", "config.wsgi"]

# Last, since they differ with every commit and would take the layers after them along.
ARG VERSION=unknown
ARG REVISION=unknown
ARG BASE_IMAGE
LABEL org.opencontainers.image.title="django_polls" \
      org.opencontainers.image.description="Questions that people vote on: the worked example of Cloud Django" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
