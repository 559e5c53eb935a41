"""Slack's incoming webhooks.

The words are built with slack_sdk; they go through our own client, since slack_sdk's follows redirects,
wherever they lead, and limits single waits rather than the whole call.
"""

import json

from slack_sdk.models.blocks import Block, ContextBlock, HeaderBlock, MarkdownTextObject, SectionBlock
from slack_sdk.models.blocks.basic_components import PlainTextObject

from apps.notifications.channels import http
from apps.notifications.channels.base import Envelope, Letter, Outcome, headline, one_line

_MARKS = {"critical": "🔴", "warning": "🟠", "info": "🔵"}
# Slack takes 3,000 characters in a section; escaping makes one five at most.
_LONGEST = 550


def send(envelope: Envelope) -> Outcome:
    blocks: list[Block] = [HeaderBlock(text=PlainTextObject(text=headline(envelope), emoji=True))]
    for letter in envelope.letters:
        blocks += _blocks(letter, envelope.tenant_name)
    message = {"text": escape(headline(envelope)), "blocks": [block.to_dict() for block in blocks]}
    answer = http.post(
        envelope.address.place,
        content=json.dumps(message).encode(),
        headers={"Content-Type": "application/json; charset=utf-8"},
    )
    return http.judge(answer) if isinstance(answer, http.Answer) else answer


def escape(text: str) -> str:
    """So that nothing in it calls a channel or makes a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _blocks(letter: Letter, tenant_name: str) -> list[Block]:
    words = escape(one_line(letter.message, most=_LONGEST))
    about = filter(None, [tenant_name, letter.rule, letter.period, f"{letter.raised_at:%Y-%m-%d %H:%M} UTC"])
    return [
        SectionBlock(text=MarkdownTextObject(text=f"{_MARKS[letter.level]} {words}", verbatim=True)),
        ContextBlock(elements=[PlainTextObject(text=one_line(" · ".join(about), most=300), emoji=False)]),
    ]
