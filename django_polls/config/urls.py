"""URL configuration of the site."""

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.templatetags.static import static
from django.urls import include, path

admin.site.site_header = "Polls administration"
admin.site.site_title = "Polls administration"
admin.site.index_title = "What would you like to ask?"
admin.site.site_url = "/"


def favicon(request: HttpRequest) -> HttpResponse:
    """Redirect to the icon. Browsers request this path on pages without an icon, such as those of the admin."""
    return redirect(static("polls/icon.svg"))


urlpatterns = [
    path(settings.ADMIN_PATH, admin.site.urls),
    path("favicon.ico", favicon),
    path("", include("polls.urls")),
]

handler500 = "cloud_django.middleware.error_500"
