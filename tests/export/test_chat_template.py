"""The structure of chat templates, found from their renderings."""

import context  # noqa: F401, isort: skip
import unittest

from synthetic_audex import tokenizer
from ualm_export.config import Config
from ualm_export.errors import ExportError
from ualm_export.families.audex.chat_check import read_chat
from ualm_export.families.audex.chat_schema import ChatSchema
from ualm_export.families.audex.chat_template import chat_template
from ualm_export.families.audex.pieces import PieceWriter
from ualm_export.families.audex.tokens import tokens_of

TURNS = """
{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '</s>\\n' }}
{%- else %}
    {{- DEFAULT }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {{- '<|im_start|>user\\n' + message.content + '</s>\\n' }}
    {%- elif message.role == 'assistant' %}
        {%- set content = ANSWER %}
        {{- '<|im_start|>assistant\\n' + content + '</s>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- else %}
        {{- '<think>\\n' }}
    {%- endif %}
{%- endif %}
"""
WHOLE = "message.content"
CUT = "message.content.split('</think>')[-1]"


def schema(text: str) -> ChatSchema:
    _, tokens = tokens_of(tokenizer(), "tokenizer")
    return read_chat(chat_template(text, Config({"bos_token": "<s>"}, "names"), "template"), tokens)


def template(default: str = "", answer: str = WHOLE) -> str:
    return TURNS.replace("DEFAULT", repr(default)).replace("ANSWER", answer)


class ChatTemplateTest(unittest.TestCase):
    def test_turns_and_thinking(self):
        found = schema(template())
        self.assertEqual((found.begin, found.system, found.after), ("", None, None))
        self.assertEqual((found.turns["user"].open, found.turns["user"].close), ("<|im_start|>user\n", "</s>\n"))
        self.assertEqual(found.reply, "<|im_start|>assistant\n<think>\n\n</think>\n\n")
        self.assertEqual((found.thinking_reply, found.thinking_open), ("<|im_start|>assistant\n", "<think>\n"))
        self.assertTrue(found.thinks)

    def test_a_default_system_turn(self):
        found = schema(template("<|im_start|>system\nBe kind.\n\nAlways.</s>\n"))
        self.assertEqual(found.system, "Be kind.\n\nAlways.")
        with self.assertRaisesRegex(ExportError, "not a system turn"):
            schema(template("Be kind."))
        with self.assertRaisesRegex(ExportError, "names an added token"):
            schema(template("<|im_start|>system\nNo <unk>.</s>\n"))

    def test_omitted_thoughts_of_earlier_answers(self):
        self.assertEqual(schema(template(answer=CUT)).after, "</think>")
        self.assertEqual(schema(template(answer=f"'<think></think>' + {CUT}")).turns["assistant"].open,
                         "<|im_start|>assistant\n<think></think>")  # fmt: skip

    def test_answers_that_are_stripped_where_questions_are_not(self):
        for answer in (CUT + "|trim", CUT + ".strip()", WHOLE + "|trim"):
            with self.subTest(answer=answer):
                found = schema(template(answer=answer))
                self.assertEqual([role for role, turn in found.turns.items() if turn.strip], ["assistant"])

    def test_answers_that_are_stripped_at_one_end(self):
        with self.assertRaises(ExportError) as raised:
            schema(template(answer=CUT + ".lstrip('\\n')"))
        self.assertIn("cannot be exported", str(raised.exception))
        self.assertIn("For the conversation", str(raised.exception))

    def test_templates_without_thinking_have_no_thinking_reply(self):
        for old, new in (("<think>\\n\\n</think>\\n\\n", ""), ("<think>\\n'", "'"), ("<think>\\n'", "<think></think>'")):
            with self.subTest(new=new), self.assertRaisesRegex(ExportError, "an answer opens with"):
                schema(template().replace(old, new))

    def test_contents_in_the_wrong_place(self):
        with self.assertRaisesRegex(ExportError, "is not written"):
            schema(template(answer="'…'"))


class PieceWriterTest(unittest.TestCase):
    def test_the_longest_name_takes_precedence(self):
        writer = PieceWriter({"<a>": 1, "<a><b>": 2, "<b>": 3})
        self.assertEqual(writer.pieces("x<a><b> <b><a>\n"), ["x", 2, " ", 3, 1, "\n"])
        self.assertEqual(writer.pieces(""), [])
        self.assertEqual(PieceWriter({}).pieces("<a>"), ["<a>"])


if __name__ == "__main__":
    unittest.main()
