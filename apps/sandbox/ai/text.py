"""Short marketing copy, the same for the same request, in the words of its prompt."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

_WORD = re.compile(r"[A-Za-z][a-z]{3,}")
_RECIPIENT = re.compile(r"<fan>\s*name: *(\S[^\n<]{0,60})", re.IGNORECASE)
_BRIEF = re.compile(r"<brief>(.*?)</brief>", re.DOTALL | re.IGNORECASE)
_VARIABLE = re.compile(r"\{\{\s*[^{}]+?\s*\}\}")
# Words that speak of the task rather than of its subject.
_INSTRUCTION_WORDS = frozenset(
    """
    about above account after again also answer array assistant been before below between brief
    campaign caption captions character characters content could creator descriptions does draft
    each english every everybody everyone exactly example false fans field first follow following
    follows format friendly from generate give given have helpful here idea ideas include includes
    instructions into json just
    keep language liquid list long make marketing message messages more most must name need never
    null number object offer only other output over plan platform please prompt property reply request
    respond return rules same schema segment send sentence sentences several shall short should some
    string style such system take taken task template text than that their them then there these
    they this those through title tone true type under unless until user using values variable variables
    verbatim very want warm well were what when where which while will with within without word
    words would write writer writing your yours
    """.split()  # noqa: SIM905 - a list of quoted words would fill a page
)
_READ_CHARACTERS = 8000
_ENOUGH_WORDS = 6
_MOST_WORDS = 24
_MOST_VARIABLES = 12
_FALLBACK_WORDS = ("news", "surprise", "weekend", "favourites")

_GREETINGS = ("Hi {name},", "Hey {name}!", "Hello {name},", "{name}, good to see you here!")
_OPENERS = (
    "I have been working on something around {a}.",
    "there is something new about {a} and {b} waiting for you.",
    "this week is all about {a}.",
    "I saved a little {a} for the people who asked first.",
    "you told me you like {a}, so here is more of it.",
)
_MIDDLES = (
    "Think {a}, {b} and a bit of {c}.",
    "It brings {b} and {c} together in a way I am proud of.",
    "I put real care into the {b}, and it shows.",
    "If {c} is your thing, you will enjoy this one.",
    "A few of you have already seen the {b} and loved it.",
)
_CLOSERS = (
    "Have a look and tell me what you think.",
    "Reply with your favourite and I will read every answer.",
    "It is there for you until Sunday.",
    "Thank you for being here.",
    "Shall I keep one for you?",
)
_FACTS = (
    "Fans of {a} tend to answer to {b}.",
    "A calm tone suits {a} better than pressure.",
    "{a} and {b} go well together.",
    "Interest in {a} has been steady lately.",
)
_TITLES = ("{a} and {b}", "A closer look at {a}", "More {a} this week", "The {a} edit", "Behind the {a}")


@dataclass(frozen=True, slots=True)
class Voice:
    """What a prompt gives to write with: its telling words and its template variables, verbatim."""

    words: tuple[str, ...]
    variables: tuple[str, ...]
    # The name of the one fan whom the prompt describes, if it does.
    recipient: str = ""

    def message(self, rng: random.Random) -> str:
        """A message to a fan, with the prompt's variables but those that tell facts about the fan."""
        names = [variable for variable in self.variables if "name" in variable]
        fan = next((variable for variable in names if "fan" in variable), names[0] if names else None)
        others = [variable for variable in self.variables if "fan" not in variable and variable != fan]
        signature = next((variable for variable in others if variable in names), None)
        details = [variable for variable in others if variable != signature]
        greeting = _choose(rng, _GREETINGS).format(name=fan or self.recipient or "there")
        opener = self._fill(rng, _OPENERS)
        parts = [
            greeting,
            capitalise(opener) if greeting.endswith("!") else opener,
            self._fill(rng, _MIDDLES),
        ]
        if details:
            parts.append(f"Made for you: {', '.join(details)}.")
        parts.append(_choose(rng, _CLOSERS))
        if signature:
            parts.append(f"Yours, {signature}")
        return capitalise(" ".join(parts))

    def title(self, rng: random.Random) -> str:
        return capitalise(self._fill(rng, _TITLES))

    def sentence(self, rng: random.Random) -> str:
        """A plain statement, for reasons and descriptions."""
        return capitalise(self._fill(rng, _FACTS))

    def word(self, rng: random.Random) -> str:
        return _choose(rng, self.words)

    def _fill(self, rng: random.Random, patterns: Sequence[str]) -> str:
        count = len(self.words)
        first = int(rng.random() * count)
        a, b, c = (self.words[(first + step) % count] for step in range(3))
        return _choose(rng, patterns).format(a=a, b=b, c=c)


def listen(parts: Sequence[str]) -> Voice:
    """The voice of a prompt's texts: its subject is in the brief, if it has one, else in the last ones."""
    words: dict[str, None] = {}
    variables: dict[str, str] = {}
    briefs = [brief for part in parts for brief in _BRIEF.findall(part)]
    for part in (*briefs, *reversed(parts)):
        if "{{" in part:
            variables.update({"".join(found.split()): found for found in _VARIABLE.findall(part)})
        if len(words) < _ENOUGH_WORDS:
            found = (word.lower() for word in _WORD.findall(_VARIABLE.sub(" ", part[:_READ_CHARACTERS])))
            words.update(dict.fromkeys(word for word in found if word not in _INSTRUCTION_WORDS))
    for word in _FALLBACK_WORDS:
        if len(words) >= 3:
            break
        words[word] = None
    named = [name.strip() for part in parts for name in _RECIPIENT.findall(part)]
    return Voice(
        words=tuple(words)[:_MOST_WORDS],
        variables=tuple(variables.values())[:_MOST_VARIABLES],
        recipient=named[0] if named else "",
    )


def capitalise(text: str) -> str:
    """The text with its first letter large."""
    return text[:1].upper() + text[1:]


def _choose(rng: random.Random, options: Sequence[str]) -> str:
    return options[int(rng.random() * len(options))]
