#!/usr/bin/env python3
"""Renders conversations by chat templates with Jinja, for test_chat_templates.py. Runs in the
environment of tests/fetch-oracles.

Reads one JSON object from stdin, {"templates": [text], "talks": [[[role, content]]], "bos", "eos"},
and writes a list per template: the text of each conversation, or null where the template raises.
"""

import json
import sys

import jinja2
import jinja2.ext
import jinja2.sandbox

DATE = "@DATE@"
# What says the day's date in a system message: left out, as the engine knows none.
DATE_TEXTS = [f"Today's Date: {DATE}.\n", f"Today's Date: {DATE}. ", f"Today Date: {DATE}\n",
              f"Current date: {DATE}\n"]


class Generation(jinja2.ext.Extension):
    """{% generation %}, which marks answers for training and writes nothing."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("write"), [], [], body).set_lineno(line)

    def write(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.TemplateError(message)


def to_json(value, ensure_ascii=False, **options):
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def environment():
    """As the transformers library sets it up."""
    result = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols, Generation])
    result.filters["tojson"] = to_json
    result.globals["raise_exception"] = raise_exception
    result.globals["strftime_now"] = lambda form: DATE
    return result


def render(template, talk, job):
    messages = [{"role": role, "content": content} for role, content in talk]
    try:
        # Llama 3's date is the one that its template has where there is no clock.
        text = template.render(
            messages=messages, add_generation_prompt=True, tools=None, documents=None,
            bos_token=job["bos"], eos_token=job["eos"], date_string="26 Jul 2024")
    except Exception:  # whatever a template does to say no
        return None
    for said in DATE_TEXTS:
        text = text.replace(said, "")
    return text


job = json.load(sys.stdin)
jinja = environment()
json.dump([[render(template, talk, job) for talk in job["talks"]]
           for template in map(jinja.from_string, job["templates"])], sys.stdout)
