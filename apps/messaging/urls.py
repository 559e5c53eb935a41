from django.urls import path

from apps.messaging.views import accounts, fans, messages, stats

urlpatterns = [
    path("accounts", accounts.Accounts.as_view()),
    path("accounts/<uuid:account_id>", accounts.AccountDetail.as_view()),
    path("accounts/<uuid:account_id>/pause", accounts.PauseAccount.as_view()),
    path("accounts/<uuid:account_id>/resume", accounts.ResumeAccount.as_view()),
    path("accounts/<uuid:account_id>/fans", fans.Fans.as_view()),
    path("onlyfans/messages", messages.OnlyFansMessages.as_view()),
    path("onlyfans/stats", stats.OnlyFansStats.as_view()),
    path("messages", messages.Messages.as_view()),
    path("messages/replay", messages.ReplayMessages.as_view()),
    path("messages/<uuid:message_id>", messages.MessageDetail.as_view()),
    path("messages/<uuid:message_id>/cancel", messages.CancelMessage.as_view()),
]
