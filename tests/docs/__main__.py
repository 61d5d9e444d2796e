"""`python -m tests.docs`: writes the generated parts of the documentation anew."""

from tests.docs import pages
from tests.docs.generated import GENERATED, current


def main() -> None:
    for page in GENERATED:
        text = current(page)
        if text != pages.text_of(page):
            (pages.TOP / page).write_text(text, encoding="utf-8")
            print(f"wrote {page}")


if __name__ == "__main__":
    main()
