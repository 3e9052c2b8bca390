"""URL configuration of the polls."""

from django.urls import path
from django.views.generic import RedirectView

from polls import views

app_name = "polls"

urlpatterns = [
    path("", views.index, name="index"),
    # Django's tutorial has the list at this path.
    path("polls/", RedirectView.as_view(pattern_name="polls:index")),
    path("polls/<int:pk>/", views.detail, name="detail"),
    path("polls/<int:pk>/vote/", views.vote, name="vote"),
    path("polls/<int:pk>/results/", views.results, name="results"),
    path("polls/<int:pk>/results.json", views.results_json, name="results-json"),
]
