"""Templates that would never end, or fill a memory, fail in a line; ordinary ones render as Jinja does."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest

from eval.files import InputError
from eval.tasks.templates import find_mistake, render

ROW: dict[str, Any] = {"a": "some words", "b": "x", "c": ["p", "q"] * 20, "n": 7, "d": "word " * 20_000}


@pytest.mark.parametrize(
    "template",
    [
        "{% for x in a * 90000 %}{% for y in a * 90000 %}{% endfor %}{% endfor %}",
        "{% for x in d %}{% for y in d %}{% for z in d %}{% endfor %}{% endfor %}{% endfor %}",
        "{% set a = a * 90000 %}{% set a = a ~ a ~ a %}",
        "{% for x in d %}{{ d }}{% endfor %}",
        "{% for x in d %}{{ a | center(1000000) }}{% endfor %}",
        "{% for x in d %}{% set y = d.replace('w', d) %}{% endfor %}",
        "{{ a.ljust(10000000000) }}",
        "{{ a | center(1000000000) }}",
        "{{ c | batch(1000000000, b) | list }}",
        "{{ c | slice(1000000000) | list }}",
        "{{ a | indent(1000000000) }}",
        "{{ c | tojson(indent=1000000000) }}",
        "{{ '%9999999999d' % n }}",
        "{{ '%999999999d' | format(n) }}",
        "{{ '%*d' % (999999999, n) }}",
        "{{ ('{:' ~ '9' * 9 ~ '}').format(n) }}",
        "{{ '{:{w}}'.format(n, w=1000000000) }}",
        "{{ n ** 10 }}",
        "".join(["{% set n = n * n %}"] * 12) + "{{ n }}",
        "{{ (['x' * 1000000] * 300) | join | length }}",
        "{{ (['x' * 1000000] * 300) | length }}",
        "{% set d = 'x' * 1000000 %}{{ (" + " ~ ".join(["d"] * 300) + ") | length }}",
        "{% set d = 'x' * 1000000 %}{{ ('%s' * 300 % (" + "d, " * 300 + ")) | length }}",
        "{% set d = 'x' * 1000000 %}{{ ('%(d)s' * 300 % {'d': d}) | length }}",
        "{% set d = 'x' * 1000000 %}{% set l = [" + "d, " * 300 + "] %}",
        *(
            "{% set d = 'x' * 1000000 %}{% set d = [" + "d, " * 300 + "] | " + name + " | length %}"
            for name in ("tojson", "string", "pprint", "join", "sum(start='')", "first", "urlize")
        ),
        "{% set d = 'x' * 1000000 %}{{ {'a': [" + "d, " * 300 + "]} | xmlattr | length }}",
        "{% set d = 'x' * 1000000 %}{{ ''.join([" + "d, " * 300 + "]) | length }}",
        "{{ [" + "'x' * 1000000, " * 300 + "] | length }}",
        "{% set d = 'x' * 1000000 %}{{ [" + "d[1:], " * 300 + "] | length }}",
        "{% set d = 'x' * 1000000 %}{{ [" + "d, " * 300 + "] }}",
        "{{ (['x' * 1000000] * 10000) }}",
        "{% set d = 'x' * 1000000 %}{{ ([0] * 100000) | map('default', d, true) | join | length }}",
        "{% set d = 'x' * 1000000 %}{{ ''.join(([0] * 100000) | map('default', d, true)) | length }}",
        "{% set d = 'x' * 100000 %}"
        "{{ ([0] * 10000) | map('default', d, true) | map('upper') | list | length }}",
        "{% set d = 'x' * 100000 %}"
        "{{ ([0] * 10000) | map('default', d, true) | map('list') | list | length }}",
        "{{ ([['x']] * 50000) | sum(start=[]) | length }}",
        "{{ ([0] * 100000)" + " | map('string')" * 100 + " | list | length }}",
    ],
)
def test_what_would_never_end_fails_in_a_line(template: str) -> None:
    assert find_mistake(template, constant=True) is None
    with pytest.raises(
        InputError, match=r"^row 1: cannot be rendered \(.+\); mend the template, or the row$"
    ):
        render(template, ROW, "row 1")


@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(a) }}", "macros are not for prompts"),
        ("{% for x in c recursive %}{{ loop(c) }}{% endfor %}", "recursive loops are not for prompts"),
        ("{% block x %}{{ self.x() ~ self.x() }}{% endblock %}", "blocks are not for prompts"),
        ("{% set a %}{{ b }}{% endset %}", "blocks of text as variables are not for prompts"),
        ("{% filter upper %}{{ a }}{% endfilter %}", "filters of whole blocks are not for prompts"),
    ],
)
def test_what_prompts_do_not_need_is_refused_before_a_row_is_read(template: str, what: str) -> None:
    assert find_mistake(template) == f"is no template: {what}; mend it"


@pytest.mark.parametrize(
    "template",
    [
        "{{ a.__class__.__mro__ }}",
        "{{ a | attr('__class__') }}",
        "{{ a.format.__globals__ }}",
        "{{ '{0.__class__}'.format(a) }}",
    ],
)
def test_nothing_of_python_is_reached(template: str) -> None:
    with pytest.raises(InputError):
        render(template, ROW, "row 1")


@pytest.mark.parametrize(
    "template",
    [
        "{{ a }}",
        "{% for x in c %}{{ loop.index }}. {{ x }}{% if not loop.last %}, {% endif %}{% endfor %}",
        "{% for x in c if x == 'p' %}{{ x }}{% else %}none{% endfor %}",
        "{% set y = a | upper %}{{ y ~ '!' }}",
        "{{ '-' * 20 }} {{ n * 3 + 1 }} {{ c | join(', ') }} {{ a.replace('some', 'many') }}",
        "{{ '%05.1f of %s' % (n, a) }} {{ '{:>5}'.format(n) }} {{ c[:3] | tojson }}",
        "{{ d.split(' ') | length }} {{ a | center(20) }}|",
        "{{ c | map('upper') | select('ne', 'Q') | unique | join(' ') }} {{ [3, 1] | sort | sum }} {{ c }}",
        "{% set words = d.split() %}{{ words[:4] | join('_') ~ '…' ~ d[5:20] }} {{ words | length }}",
        "{{ {'x': a}.values() | list | tojson }} {{ [[1], [2]] | sum(start=[]) }}",
        "{{ '<b>%s' % a | striptags }}",
    ],
)
def test_ordinary_prompts_render_as_jinja_does(template: str) -> None:
    assert render(template, ROW, "row 1") == jinja2.Template(template).render(ROW)
