"""What is written on the images, by locale: ``phrases.toml`` as typed records."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Shop(_Record):
    """The head of a receipt or an invoice."""

    name: str
    address: str
    phone: str


class ReceiptWords(_Record):
    """The fixed words of a receipt. ``rate`` is the percentage that ``tax`` names; prices include it."""

    total: str
    tax: str
    rate: float
    cash: str
    change: str
    till: str
    thanks: str


class InvoiceWords(_Record):
    """The fixed words of an invoice. ``rate`` is the percentage that ``tax`` names; it is added to prices."""

    title: str
    number: str
    date: str
    to: str
    item: str
    quantity: str
    price: str
    amount: str
    subtotal: str
    tax: str
    rate: float
    total: str
    terms: str


class Prose(_Record):
    """A page of running text."""

    title: str
    text: str


class TicketWords(_Record):
    """A ticket; ``labels`` stand over the gate or carriage, the seat and the price."""

    title: str
    kind: str
    from_: str
    to: str
    when: str
    labels: tuple[str, str, str]
    note: str

    model_config = ConfigDict(alias_generator=lambda name: name.rstrip("_"))


class Menu(_Record):
    """A list of dishes."""

    title: str
    dishes: tuple[str, ...]
    note: str


class Form(_Record):
    """A filled form: pairs of label and value."""

    title: str
    fields_: tuple[tuple[str, str], ...]
    note: str

    model_config = ConfigDict(alias_generator=lambda name: name.rstrip("_"))


class Product(_Record):
    """The label of a product, down to its small print."""

    name: str
    kind: str
    claim: str
    weight: str
    small: str


class Parcel(_Record):
    """A shipping label."""

    to: str
    from_: str
    lines: tuple[str, ...]
    sender: tuple[str, ...]
    service: str
    notes: tuple[str, ...]

    model_config = ConfigDict(alias_generator=lambda name: name.rstrip("_"))


class Phrases(_Record):
    """Everything that is written in one locale.

    ``sign`` stands over a shop and ``notice`` beside a road, both by line. ``money`` is a format with one
    place for an amount; ``decimal`` is the sign before its two decimals, empty where prices have none.
    """

    language: str
    money: str
    decimal: str
    date: str
    sign: tuple[str, ...]
    notice: tuple[str, ...]
    shop: Shop
    receipt: ReceiptWords
    goods: tuple[str, ...]
    invoice: InvoiceWords
    services: tuple[str, ...]
    customer: tuple[str, ...]
    prose: Prose
    ticket: TicketWords
    menu: Menu
    form: Form
    product: Product
    parcel: Parcel

    def amount(self, cents: int) -> str:
        """``cents`` as a plain number: ``4.50`` or ``4,50``, or whole hundreds where there are no decimals."""
        if not self.decimal:
            return str(cents)
        return f"{cents // 100}{self.decimal}{cents % 100:02d}"

    def price(self, cents: int) -> str:
        """``cents`` with the currency's sign."""
        return self.money.format(self.amount(cents))


def load_phrases() -> dict[str, Phrases]:
    """Every locale's phrases, by its name."""
    text = Path(__file__).with_name("phrases.toml").read_text(encoding="utf-8")
    return {name: Phrases.model_validate(values) for name, values in tomllib.loads(text).items()}
