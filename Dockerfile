# Image of django_polls. Build it in the root directory of the repository:
#   docker build --build-arg VERSION=1.0.0 --build-arg REVISION="$(git rev-parse HEAD)" --tag django-polls:1.0.0 .
# Behind a package mirror, pass pip's configuration as secrets, which aren't stored in the image:
#   --secret id=pip_conf,src=/etc/pip.conf --secret id=ca_certificates,src=/etc/ssl/certs/ca-certificates.crt

ARG BASE_IMAGE=docker.io/library/python:3.13-slim-trixie

FROM ${BASE_IMAGE} AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONDONTWRITEBYTECODE=1

# A separate environment for pip, so that the image does not contain it.
RUN python -m venv /opt/pip && python -m venv --without-pip /opt/venv

# Dependencies before the project, so that code changes do not rebuild this layer.
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,source=django_polls/requirements.txt,target=/tmp/requirements.txt \
    --mount=type=bind,source=django_polls/requirements-build.txt,target=/tmp/requirements-build.txt \
    --mount=type=secret,id=pip_conf,target=/etc/pip.conf,required=false \
    --mount=type=secret,id=ca_certificates,target=/run/secrets/ca_certificates,required=false \
    if [ -s /run/secrets/ca_certificates ]; then export PIP_CERT=/run/secrets/ca_certificates; fi; \
    /opt/pip/bin/pip install --require-hashes -r /tmp/requirements-build.txt && \
    /opt/pip/bin/pip --python /opt/venv/bin/python install --no-compile --require-hashes -r /tmp/requirements.txt

# Compile now, because the root file system is read-only later. Checks by hash, not by time, make the layer reproducible.
# Sources of translations are not needed at run time.
RUN find /opt/venv -name '*.po' -delete && \
    python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

# The project's own package, without network access, because earlier layers have its dependencies and build tools.
RUN --mount=type=bind,source=django_polls/packages/cloud-django,target=/tmp/cloud-django \
    /opt/pip/bin/pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /tmp/wheels /tmp/cloud-django && \
    /opt/pip/bin/pip --python /opt/venv/bin/python install --no-compile --no-index --no-deps --find-links /tmp/wheels cloud-django && \
    python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib/python*/site-packages/cloud_django

ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
COPY django_polls ./
# Set modes first, because a checkout with a strict umask has files that the site's user cannot read. compileall reports
# syntax errors, also in files that collectstatic does not read. The package is already in the virtual environment.
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

# All files belong to root, so that the user of the site can read but not change them.
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app

USER 10001:10001
CMD ["gunicorn", "config.wsgi"]

# Last, because these values differ with each commit and would rebuild all layers after them.
ARG VERSION=unknown
ARG REVISION=unknown
ARG BASE_IMAGE
LABEL org.opencontainers.image.title="django_polls" \
      org.opencontainers.image.description="Polls site, the example project of Cloud Django" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
