"""The repository's Markdown pages as the pages of the site.

Pages keep the paths that they have in the repository, so a relative link leads to the same page on
GitHub and in the site, and MkDocs checks all of them. Other files that pages link to are copied. A
folder has no page: a link to one leads to its README, or is plain text.
"""

import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = (
    "*.md", "docs/**/*.md", "schemas/*.md", "benchmarks/*.md", "examples/**/*.md", "tests/*/*.md",
)  # fmt: skip
LINK = re.compile(r"\[([^\]]*)\]\((?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace what MkDocs found in `docs` by the pages and what they link to."""
    paths = {path for pattern in PAGES for path in ROOT.glob(pattern)}
    for page in list(paths):
        linked = (page.parent / target for _, target, _ in LINK.findall(page.read_text("utf-8")))
        paths |= {path.resolve() for path in linked if path.is_file()}
    found = Files([file for file in files if file.src_dir != config.docs_dir])  # the theme's
    for path in sorted(paths):
        name = path.relative_to(ROOT).as_posix()
        found.append(File.generated(config, name, abs_src_path=str(path)))
    return found


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - the signature is MkDocs'
    """Lead links to folders to their README, or make them plain text."""
    folder = ROOT / PurePosixPath(page.file.src_uri).parent

    def replaced(link: re.Match[str]) -> str:
        text, target, anchor = link[1], link[2], link[3] or ""
        if not (folder / target).is_dir():
            return link[0]
        readme = f"{target.rstrip('/')}/README.md"
        return f"[{text}]({readme}{anchor})" if (folder / readme).is_file() else text

    return LINK.sub(replaced, markdown)
