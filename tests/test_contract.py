from tests import contract


def test_the_readme_says_what_the_code_does() -> None:
    text = contract.README.read_text()
    assert contract.with_tables(text) == text, "run `make docs`"
