"""What a browser would send of a page's forms: their fields as they stand in the HTML."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Form:
    """A form: where it goes, and its fields. Of buttons only the names are known: one of them is clicked."""

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = [Form("", "get")]
        self._open: list[Form] = [self.forms[0]]
        self._area: tuple[str, list[str]] | None = None
        self._select: dict | None = None
        self._option: list | None = None

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        name = given.get("name") or ""
        if tag == "form":
            form = Form(given.get("action") or "", given.get("method") or "get")
            self.forms.append(form)
            self._open.append(form)
        elif tag == "input" and name and given.get("type") not in ("file", "submit", "button"):
            is_box = given.get("type") in ("checkbox", "radio")
            if not is_box or "checked" in given:
                self._open[-1].fields.append((name, given.get("value") or ""))
        elif tag == "textarea" and name:
            self._area = (name, [])
        elif tag == "select":
            self._select = {"name": name, "is_multiple": "multiple" in given, "all": [], "chosen": []}
        elif tag == "option" and self._select is not None:
            self._finish_option()
            self._option = [given.get("value"), [], "selected" in given]
        elif tag == "button" and name:
            self._open[-1].buttons.append((name, given.get("value") or ""))

    def handle_data(self, data):
        if self._area is not None:
            self._area[1].append(data)
        elif self._option is not None:
            self._option[1].append(data)

    def handle_endtag(self, tag):
        if tag == "form":
            self._open.pop()
        elif tag == "textarea" and self._area is not None:
            name, parts = self._area
            text = "".join(parts)
            self._open[-1].fields.append((name, text.removeprefix("\n")))
            self._area = None
        elif tag == "option":
            self._finish_option()
        elif tag == "select" and self._select is not None:
            self._finish_option()
            select, self._select = self._select, None
            chosen = select["chosen"] or ([] if select["is_multiple"] else select["all"][:1])
            if select["name"]:
                self._open[-1].fields.extend((select["name"], value) for value in chosen)

    def _finish_option(self):
        if self._option is None:
            return
        value, parts, is_chosen = self._option
        self._option = None
        text = value if value is not None else "".join(parts).strip()
        self._select["all"].append(text)
        if is_chosen:
            self._select["chosen"].append(text)


def forms_in(html: str) -> list[Form]:
    """Return the forms of a page; first what stands in none."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.forms


def form_to(html: str, ending: str) -> Form:
    """Return the form whose action ends so."""
    return next(form for form in forms_in(html) if form.action.partition("?")[0].endswith(ending))
