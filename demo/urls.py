from django.urls import path

from .views import Dice

urlpatterns = [path("", Dice.as_view())]
