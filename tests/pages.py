"""A page as a browser reads it."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr"}
HEADS = {"Hyperparameter", "Pair", "Column", "Round", "Trial", "Trials", "Name", "name", "trial"}


class Page(HTMLParser):
    """The page as a browser reads it: tags balanced, what it would load or run, its text and its tables."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.loads, self.text, self.rows = [], [], [], [], []
        self.scripts, self.policy, self.pictures, self.folded = [], "", [], 0
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        named = dict(attrs)
        self.loads += [value for key, value in attrs if key in ("src", "href", "srcset", "data", "action", "style")]
        assert not [key for key, _ in attrs if key.startswith("on")]
        if named.get("http-equiv") == "Content-Security-Policy":
            self.policy = named["content"]
        if named.get("role") == "img":
            self.pictures.append(named["aria-label"])
        self.folded += tag == "details" and "open" not in named
        if tag == "script":
            self.scripts.append("")
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "script" in self.open:
            self.scripts[-1] += data
            return
        if "style" not in self.open:
            self.text.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())

    def table(self, heading):
        """The rows of all tables whose heads begin with these words."""
        found, inside = [], False
        for row in self.rows:
            if row and row[0] in HEADS:
                inside = row[: len(heading)] == heading
            elif inside and len(row) > 1:
                found.append(row)
        return found


def sketched(monkeypatch):
    """Leave out what takes most of the time and is looked at elsewhere: the figures for print."""
    monkeypatch.setattr("hsicfast.search.run_report.render", lambda figure, kind: f"a {kind}".encode())
