"""Settings of the site, read from the environment and from secret files.

The start fails with a one-line message if a required variable is missing. No default is valid only on a developer's
machine.
"""

from datetime import timedelta

from django.core.exceptions import ImproperlyConfigured
from django.utils.csp import CSP

from cloud_django.cache import cache_settings, release_of
from cloud_django.database import database_settings
from cloud_django.environment import Environment, PublicURL
from cloud_django.logs import logging_settings
from static_settings import BASE_DIR, INSTALLED_APPS, STATIC_ROOT, STATIC_URL, STORAGES

__all__ = ["INSTALLED_APPS", "STATIC_ROOT", "STATIC_URL", "STORAGES"]

environment = Environment()

# ---- Identity --------------------------------------------------------------------------------------------------------

DEBUG = environment.flag("DJANGO_DEBUG", default=False)

public_url = PublicURL(
    "DJANGO_PUBLIC_URL",
    environment.required("DJANGO_PUBLIC_URL", "the public URL of the site, such as https://polls.example.org"),
)

ALLOWED_HOSTS = [public_url.host, *environment.words("DJANGO_ALLOWED_HOSTS")]
if "*" in ALLOWED_HOSTS:
    raise ImproperlyConfigured(
        "The environment variable DJANGO_ALLOWED_HOSTS contains *, so an attacker could send any host name to the "
        "site. List the host names."
    )
# Required if a proxy ends TLS and forwards its own Host header.
CSRF_TRUSTED_ORIGINS = [public_url.origin, *environment.words("DJANGO_CSRF_TRUSTED_ORIGINS")]

SECRET_KEY = environment.secret("DJANGO_SECRET_KEY_FILE", "a random string of at least 50 characters")
if len(SECRET_KEY) < 50:
    raise ImproperlyConfigured(
        f"The secret in the file that DJANGO_SECRET_KEY_FILE names has {len(SECRET_KEY)} characters. "
        "Write a random string of at least 50 characters to it."
    )
# Old keys, one per line, newest first. Cookies that they signed stay valid during a key rotation.
SECRET_KEY_FALLBACKS = [
    line for line in environment.optional_secret("DJANGO_SECRET_KEY_FALLBACKS_FILE").splitlines() if line
]

# ---- Requests --------------------------------------------------------------------------------------------------------

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ADMIN_PATH = environment.text("DJANGO_ADMIN_PATH", "admin/").strip("/") + "/"

# Source of the client address: the connection, or a header that the server in front of this one sets.
CLIENT_ADDRESS = environment.choice("WEB_CLIENT_ADDRESS", "connection", ("connection", "header"))
MIDDLEWARE = [
    *(["cloud_django.middleware.ClientAddressMiddleware"] if CLIENT_ADDRESS == "header" else []),
    "cloud_django.middleware.RequestIDMiddleware",
    # Before SecurityMiddleware and CommonMiddleware, because probes use the pod's address as Host and plain HTTP.
    "cloud_django.health.middleware.HealthCheckMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "cloud_django.middleware.PermissionsPolicyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "cloud_django.static_files.StaticFilesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    # After the others, so that it handles an exception in a view first.
    "cloud_django.middleware.DatabaseUnavailableMiddleware",
    "axes.middleware.AxesMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# The largest legitimate request is an admin form of a few kilobytes. The site accepts no file uploads.
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
DATA_UPLOAD_MAX_NUMBER_FILES = 0

# ---- Browser security ------------------------------------------------------------------------------------------------

SECURE_CSP = {
    "default-src": [CSP.NONE],
    "script-src": [CSP.SELF],
    "style-src": [CSP.SELF],
    "img-src": [CSP.SELF],
    "connect-src": [CSP.SELF],
    "form-action": [CSP.SELF],
    "base-uri": [CSP.NONE],
    "frame-ancestors": [CSP.NONE],
}
PERMISSIONS_POLICY = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"
SECURE_REFERRER_POLICY = "same-origin"
# Without TLS, browsers ignore this header and log a warning.
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin" if public_url.is_https else None
X_FRAME_OPTIONS = "DENY"

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = public_url.is_https
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
# Browsers accept a __Host- cookie only from this host and over TLS, so a sibling domain cannot set it.
SESSION_COOKIE_NAME = f"{'__Host-' if public_url.is_https else ''}sessionid"
CSRF_COOKIE_NAME = f"{'__Host-' if public_url.is_https else ''}csrftoken"

SECURE_SSL_REDIRECT = public_url.is_https
SECURE_SSL_HOST = public_url.netloc if public_url.is_https else None
SECURE_HSTS_SECONDS = environment.number("DJANGO_HSTS_SECONDS", 365 * 24 * 3600) if public_url.is_https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = environment.flag("DJANGO_HSTS_INCLUDE_SUBDOMAINS", default=True)
SECURE_HSTS_PRELOAD = environment.flag("DJANGO_HSTS_PRELOAD", default=False)
# Preloading binds the whole domain for years, so it is the decision of the domain's owner.
SILENCED_SYSTEM_CHECKS = ["security.W021"]

# gunicorn does not handle TLS. An HTTPS URL means that a proxy ends TLS and sets this header.
if proxy_header := environment.text("DJANGO_PROXY_SSL_HEADER", "X-Forwarded-Proto" if public_url.is_https else ""):
    SECURE_PROXY_SSL_HEADER = ("HTTP_" + proxy_header.upper().replace("-", "_"), "https")

# ---- Data ------------------------------------------------------------------------------------------------------------

DATABASES = {"default": database_settings(environment, "django_polls")}
CACHES = cache_settings(environment, "django_polls", release_of(BASE_DIR))

# Without a shared cache, sessions are in the database only. A cache in a worker's memory would still serve a session
# that another worker ended.
SESSION_ENGINE = "django.contrib.sessions.backends." + ("cached_db" if "sessions" in CACHES else "db")
SESSION_CACHE_ALIAS = "sessions" if "sessions" in CACHES else "default"

# ---- Users -----------------------------------------------------------------------------------------------------------

PASSWORD_HASHERS = [
    "cloud_django.hashers.ContainerArgon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "django.contrib.auth.hashers.ScryptPasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "admin:login"

# Five failed logins lock the pair of user and address, so that an attacker can't lock the user out at other addresses.
# Attempts are counted in the database, which all pods share.
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AXES_FAILURE_LIMIT = environment.number("DJANGO_LOGIN_ATTEMPTS", 5, least=1, most=1000)
AXES_COOLOFF_TIME = timedelta(seconds=environment.number("DJANGO_LOGIN_LOCK_SECONDS", 900, least=1, most=7 * 24 * 3600))
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "cloud_django.throttle.client_network"
AXES_LOCKOUT_CALLABLE = "cloud_django.throttle.locked_out"
AXES_USERNAME_CALLABLE = "cloud_django.throttle.username"
AXES_RESET_ON_SUCCESS = True
# Attempts during a lockout don't extend it. Otherwise an attacker at the same address could block a user indefinitely.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
# Mask the user name in stored and logged attempts, because users sometimes type the password into that field.
AXES_SENSITIVE_PARAMETERS = ["username", "csrfmiddlewaretoken"]
AXES_DISABLE_ACCESS_LOG = True
AXES_VERBOSE = False
AXES_ENABLE_ADMIN = False

# ---- Language, time, files, logs -------------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
TIME_ZONE = environment.text("DJANGO_TIME_ZONE", "UTC")
USE_TZ = True

WHITENOISE_ALLOW_ALL_ORIGINS = False

LOGGING_CONFIG = "logging.config.dictConfig"
LOGGING = logging_settings(
    environment.choice("LOG_FORMAT", "json", ("json", "text")),
    environment.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
)

# No visitor sees a page that is older than this. 0 turns page caching off.
PAGE_CACHE_SECONDS = environment.number("DJANGO_PAGE_CACHE_SECONDS", 1, most=60)

# ---- Polls -----------------------------------------------------------------------------------------------------------

POLLS_VOTE_CHANGEABLE = environment.flag("POLLS_VOTE_CHANGEABLE", default=False)
POLLS_PAGE_SIZE = environment.number("POLLS_PAGE_SIZE", 10, least=1, most=100)
POLLS_REFRESH_SECONDS = environment.number("POLLS_REFRESH_SECONDS", 3, least=1, most=3600)
