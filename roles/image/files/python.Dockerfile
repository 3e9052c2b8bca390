# Image of a Django project that pip can install, for projects without a Dockerfile of their own. The role passes the build arguments.
# The build context may be empty, for a project that is a package.
ARG BASE_IMAGE=docker.io/library/python:3.13-slim-trixie

FROM ${BASE_IMAGE} AS base
# Names of Debian packages, separated by spaces, that the project needs at run time.
ARG PACKAGES=""
RUN --mount=type=secret,id=ca_certificates,target=/run/secrets/ca_certificates,required=false \
    set -eu; \
    if [ -n "${PACKAGES}" ]; then \
      if [ -s /run/secrets/ca_certificates ]; then set -- -o Acquire::https::CAInfo=/run/secrets/ca_certificates; fi; \
      export DEBIAN_FRONTEND=noninteractive; \
      apt-get "$@" update; \
      apt-get "$@" install -y --no-install-recommends ${PACKAGES}; \
      rm -rf /var/lib/apt/lists/*; \
    fi


# Only the files of the context that requirements can name, so that a change of code does not install all packages again.
FROM ${BASE_IMAGE} AS requirements
ARG REQUIREMENTS=""
ARG CONSTRAINTS=""
RUN --mount=type=bind,target=/context \
    set -eu; \
    mkdir /requirements; \
    cd /context; \
    find . -xtype f \( -name '*.txt' -o -name '*.in' -o -name 'pylock*.toml' \) \
      -exec cp --dereference --parents --target-directory=/requirements {} +; \
    cd /requirements; \
    printf '%s\n' "${CONSTRAINTS}" > .image-constraints.txt; \
    printf '%s\n' '-c .image-constraints.txt' > .image-options.txt; \
    if [ -f constraints.txt ]; then printf '%s\n' '-c constraints.txt' >> .image-options.txt; fi; \
    printf '%s\n' "${REQUIREMENTS}" > .image-requirements.txt; \
    grep -E '^(-e |--editable|\.|/|file:)' .image-requirements.txt > .image-local.txt || true; \
    grep -vE '^(-e |--editable|\.|/|file:)' .image-requirements.txt > .image-remote.txt || true; \
    chmod -R u=rwX,go=rX .


FROM base AS build
# Names of Debian packages that only the installation of the requirements needs, such as compilers.
ARG BUILD_PACKAGES=""
RUN --mount=type=secret,id=ca_certificates,target=/run/secrets/ca_certificates,required=false \
    set -eu; \
    if [ -n "${BUILD_PACKAGES}" ]; then \
      if [ -s /run/secrets/ca_certificates ]; then set -- -o Acquire::https::CAInfo=/run/secrets/ca_certificates; fi; \
      export DEBIAN_FRONTEND=noninteractive; \
      apt-get "$@" update; \
      apt-get "$@" install -y --no-install-recommends ${BUILD_PACKAGES}; \
      rm -rf /var/lib/apt/lists/*; \
    fi

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONDONTWRITEBYTECODE=1

# A separate environment for pip, so that the image does not contain it.
RUN python -m venv /opt/pip && python -m venv --without-pip /opt/venv

# The bytecode is compiled now, because the root file system is read-only later. Checks by hash, not by time, make the layer
# reproducible. Errors are ignored, because packages contain templates of Python files.
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,from=requirements,source=/requirements,target=/requirements \
    --mount=type=secret,id=pip_conf,target=/etc/pip.conf,required=false \
    --mount=type=secret,id=ca_certificates,target=/run/secrets/ca_certificates,required=false \
    set -eu; \
    if [ -s /run/secrets/ca_certificates ]; then export PIP_CERT=/run/secrets/ca_certificates; fi; \
    cd /requirements; \
    /opt/pip/bin/pip --python /opt/venv/bin/python install --no-compile -r .image-options.txt -r .image-remote.txt; \
    python -m compileall -qq -j 0 --invalidation-mode unchecked-hash /opt/venv/lib || true

ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
COPY . ./
# Requirements that are directories of the context, now that they are here. Modes are set first, because a checkout with a strict umask
# has files that the site's user cannot read.
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,from=requirements,source=/requirements,target=/requirements \
    --mount=type=secret,id=pip_conf,target=/etc/pip.conf,required=false \
    --mount=type=secret,id=ca_certificates,target=/run/secrets/ca_certificates,required=false \
    set -eu; \
    chmod -R u=rwX,go=rX .; \
    if [ -s /requirements/.image-local.txt ]; then \
      if [ -s /run/secrets/ca_certificates ]; then export PIP_CERT=/run/secrets/ca_certificates; fi; \
      /opt/pip/bin/pip --python /opt/venv/bin/python install --no-compile \
        -r /requirements/.image-options.txt -r /requirements/.image-local.txt; \
      python -m compileall -qq -j 0 --invalidation-mode unchecked-hash /opt/venv/lib || true; \
    fi; \
    python -m compileall -q -j 0 --invalidation-mode unchecked-hash . || true


FROM base
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app

# All files belong to root, so that the user of the site can read but not change them. Some programs need a name for the user.
RUN echo 'django:x:10001:' >> /etc/group && echo 'django:x:10001:10001::/tmp:/usr/sbin/nologin' >> /etc/passwd
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app

# A command that collects static files, with throw-away values for settings. In the last stage, because it may write to any directory.
ARG COLLECT=""
RUN if [ -n "${COLLECT}" ]; then set -eu; sh -euc "${COLLECT}"; rm -rf /tmp/* /root/.cache; fi

USER 10001:10001
CMD ["python", "-c", "raise SystemExit('This image has no start command. Set web_command, for example [gunicorn, shop.wsgi].')"]
