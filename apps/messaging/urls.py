from django.urls import path

from apps.messaging import views

urlpatterns = [
    path("accounts", views.Accounts.as_view()),
    path("accounts/<uuid:account_id>", views.AccountDetail.as_view()),
    path("accounts/<uuid:account_id>/fans", views.Fans.as_view()),
    path("onlyfans/messages", views.OnlyFansMessages.as_view()),
    path("messages", views.Messages.as_view()),
    path("messages/<uuid:message_id>", views.MessageDetail.as_view()),
]
