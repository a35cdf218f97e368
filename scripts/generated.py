"""The generated parts of documents, which stand between marks: `<!-- NAME: made by make reference -->` and `<!-- end -->`."""
import re


def filled(text, name, part):
    """Returns a document with its part `name` written anew."""
    pattern = rf"(<!-- {name}: made by make reference -->\n)(?:.*?\n)??(<!-- end -->)"
    text, count = re.subn(pattern, lambda found: f"{found[1]}{part}\n{found[2]}", text, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"the marks of {name!r} are in the document {count} times; expected once")
    return text
