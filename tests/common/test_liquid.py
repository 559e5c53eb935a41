import pytest

from apps.common import liquid
from apps.common.liquid import TemplateError


def test_variables_are_filled_in() -> None:
    assert liquid.render("Hi {{ fan.name | upcase }}!", {"fan": {"name": "Grace"}}) == "Hi GRACE!"


@pytest.mark.parametrize("value", ["{{ secret }}", "{% for i in (1..9) %}x{% endfor %}", "{% raw %}"])
def test_a_value_is_never_read_as_liquid(value: str) -> None:
    assert liquid.render("{{ name }}", {"name": value, "secret": "!"}) == value


def test_an_unknown_variable_is_refused_unless_it_has_a_default() -> None:
    with pytest.raises(TemplateError, match="city"):
        liquid.render("{{ fan.city }}", {"fan": {}})

    assert liquid.render('{{ fan.city | default: "town" }}', {"fan": {}}) == "town"
    assert liquid.render("{% if fan.city %}yes{% else %}no{% endif %}", {"fan": {}}) == "no"


@pytest.mark.parametrize(
    "template",
    [
        "{{ name",
        "{% if name %}",
        "{{ name | nonsense }}",
        "{% include 'settings' %}",
        "{% render 'settings' %}",
        "{% for i in (1..100000000) %}x{% endfor %}",
        "{% for i in (1..1000) %}{% for j in (1..1000) %}{% endfor %}{% endfor %}",
        "{% assign s = name %}{% for i in (1..900) %}{% assign s = s | append: s %}{% endfor %}",
        "{% for i in (1..900) %}{% for j in (1..2) %}{{ name | append: name }}{% endfor %}{% endfor %}" * 3,
        '{{ name | replace: "", name }}',
        "{% assign n = 9 %}{% for i in (1..900) %}{% assign n = n | times: n %}{% endfor %}",
        "{% assign n = 9 %}{% for i in (1..14) %}{% assign n = n | times: n %}{% endfor %}{{ n }}",
        "{% assign n = 9 %}{% for i in (1..16) %}{% assign n = n | times: n %}{% endfor %}{{ n | size }}",
        "{{ 1 | divided_by: 0 }}",
        "x" * 20_001,
        "{{ name.__class__ }}",
        "{% if name %}" * 40 + "{% endif %}" * 40,
    ],
)
def test_what_breaks_the_rules_or_the_limits_is_refused(template: str) -> None:
    with pytest.raises(TemplateError):
        liquid.render(template, {"name": "x" * 100})


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{{ fan.name", "}}"),
        ("{{ tenant.name }}", "tenant"),
        ("{{ fan.name | nonsense }}", "nonsense"),
        ("{% if secret %}x{% endif %}", "secret"),
        ("{% include 'x' %}", "include"),
    ],
)
def test_problems_are_named_before_anything_is_rendered(template: str, problem: str) -> None:
    found = liquid.problems(template, {"fan"})

    assert found
    assert problem in " ".join(found)


def test_a_template_within_the_rules_has_no_problems() -> None:
    template = "{% assign x = 1 %}{% for i in fan.list %}{{ i }}{{ x }}{{ fan.name | strip }}{% endfor %}"

    assert liquid.problems(template, {"fan"}) == []
