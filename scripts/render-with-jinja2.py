#!/usr/bin/env python3
"""Renders small templates with Python's jinja2 and writes fixtures/chat-templates.json: the oracle of
src/generate/chat-template/. The environment is set up as transformers sets it up.

    python3 scripts/render-with-jinja2.py
"""
import json
from pathlib import Path

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2 import nodes


class Generation(Extension):
    """transformers' {% generation %} block, which only marks what the assistant wrote."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    def _mark(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


environment = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
)
environment.filters["tojson"] = tojson
environment.globals["raise_exception"] = raise_exception

variables = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "  2 < 3 & 'x' é漢😀?\n"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "a1", "function": {"name": "read", "arguments": {"path": "a.txt", "limit": 5, "deep": True}}}
            ],
        },
        {"role": "tool", "content": "line 1\r\nline 2", "tool_call_id": "a1"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nyes"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "read",
                "description": None,
                "parameters": {
                    "type": "object",
                    "properties": {
                        "path": {"type": "string", "description": "a \"path\""},
                        "items": {"type": ["array", "null"], "items": {"type": "integer"}, "default": []},
                        "limit": {"type": "integer", "enum": [1, 2.5, None, True]},
                    },
                    "required": ["path"],
                },
            },
        }
    ],
    "tree": [
        {"name": "a", "children": [{"name": "b", "children": []}, {"name": "c", "children": [{"name": "d", "children": []}]}]},
        {"name": "e", "children": []},
    ],
    "numbers": [3, 1, 2, 3, -4, 10],
    "mixed": [0, 1, "", "x", None, False, [], {}, 1.5],
    "words": ["pear", "Apple", "fig", "apple", "Banana"],
    "people": [
        {"name": "Ann", "age": 31, "town": "Bern", "tags": ["x"]},
        {"name": "Bob", "age": 25, "town": "Wien", "tags": []},
        {"name": "cat", "age": 31, "town": "Bern"},
    ],
    "record": {"items": 1, "keys": "k", "b": [1, {"c": None}], "z": True, "empty": {}},
    "text": "The quick  brown\tfox\njumps; über straße, İ.",
    "none": None,
    "enable_thinking": False,
    "add_generation_prompt": True,
    "bos_token": "<s>",
    "eos_token": "</s>",
}

templates = Path(__file__).with_name("chat-template-snippets.txt").read_text().split("\n=====\n")
cases = []
for template in templates:
    try:
        # As transformers reads templates: one final newline is not part of the text.
        cases.append({"template": template, "rendered": environment.from_string(template).render(**variables)})
    except jinja2.exceptions.TemplateSyntaxError as error:
        raise SystemExit(f"{template}\nis no template: {error}")
    except Exception as error:  # what a template raises is a result too
        cases.append({"template": template, "error": f"{type(error).__name__}: {error}"})

target = Path(__file__).parent.parent / "fixtures" / "chat-templates.json"
target.write_text(json.dumps({"jinja2": jinja2.__version__, "variables": variables, "cases": cases}, ensure_ascii=False, indent=1) + "\n")
print(f"{len(cases)} templates, {sum('error' in case for case in cases)} of which raise an error")
