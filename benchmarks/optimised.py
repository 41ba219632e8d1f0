"""What each optimisation of the reading side won: beside it its plain predecessor, in this process, on one book."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from benchmarks.events import LARGE, large_customer, large_group
from benchmarks.measure import a_book, timed
from benchmarks.plain.reads import PlainCustomers, plain_customers
from benchmarks.stored import FEWER, a_stored_book, customers_of, fill
from benchmarks.table import Row
from touchbook.ledger import Day, day_of
from touchbook.projections.customers import Customers
from touchbook.streams.follow import catch_up
from touchbook.wiring import Book, now

READS = 1_000
MANY = 500
IDENTIFIERS = 8_000


def rows(quick: bool = False) -> Iterator[Row]:
    with a_stored_book(FEWER) as book:
        yield from _of_many(book, READS // 10 if quick else READS)
    with a_book() as book:
        yield from _of_the_large(
            book, LARGE // 50 if quick else LARGE, IDENTIFIERS // 20 if quick else IDENTIFIERS
        )


def _of_many(book: Book, reads: int) -> Iterator[Row]:
    today, plain, customers = day_of(now()), plain_customers(book), book.customers
    people = random.Random(11).sample(range(customers_of(FEWER)), reads * 2)
    asked = [[(f"user_id:u{person}", today) for person in some] for some in (people[:reads], people[reads:])]
    for warming in (asked[1][:10], asked[1][:10]):  # connections, statements, decay tables
        plain.batch(warming)
        customers.batch(warming)
    yield from _compared(
        "seven scores, cold",
        reads,
        partial(_one_by_one, customers, asked[0]),
        partial(_plainly, plain, asked[0]),
    )
    yield from _compared(
        "seven scores, warm",
        reads,
        partial(_one_by_one, customers, asked[0]),
        partial(_plainly, plain, asked[0]),
    )
    some = asked[1][: min(MANY, reads)]
    for what in ("cold", "warm"):
        yield from _compared(
            f"batch of {len(some)}, {what}",
            len(some),
            partial(customers.standings, some),
            partial(plain.batch, some),
        )


def _one_by_one(customers: Customers, asked: Sequence[tuple[str, Day]]) -> None:
    for ref, day in asked:
        customers.standing(customers.find(ref), day).encoded()


def _plainly(customers: PlainCustomers, asked: Sequence[tuple[str, Day]]) -> None:
    for ref, day in asked:
        customers.scores(customers.find(ref), day)


def _of_the_large(book: Book, touchpoints: int, identifiers: int) -> Iterator[Row]:
    fill(book, large_customer(touchpoints))
    fill(book, large_group(identifiers))
    catch_up(book.journal, book.projections, book.folder)
    today, plain, customers = day_of(now()), plain_customers(book), book.customers
    customer = customers.find("user_id:ularge")
    yield from _compared(
        f"an explanation, {touchpoints:,} touchpoints",
        1,
        lambda: customers.explain(customer, "engagement", today),
        lambda: plain.explain(customer, "engagement", today),
    )
    with book.projections.reading() as reader:
        yield from _compared(
            f"open requests, {touchpoints:,} touchpoints",
            1,
            lambda: reader.latest_messages(customer.subjects),
            lambda: reader.messages(customer.subjects),
        )
    for who in (customers, plain):
        who.find("user_id:umany")
    fill(book, large_group(identifiers, again=1))
    catch_up(book.journal, book.projections, book.folder)
    yield from _compared(
        f"who somebody of {identifiers:,} identifiers is, after a touchpoint",
        1,
        lambda: customers.find("user_id:umany"),
        lambda: plain.find("user_id:umany"),
    )


def _compared(
    what: str, count: int, ours: Callable[[], object], plain: Callable[[], object]
) -> Iterator[Row]:
    """Both in turn, in this run. Ratios are of CPU: nothing here waits."""
    plain_rate, plain_cpu = timed(plain, count)
    rate, cpu = timed(ours, count)
    yield Row(f"{what}, in process", rate, cpu, f"{plain_cpu / cpu:.1f} of its plain version (CPU)")
    yield Row(f"  {what}, plainly", plain_rate, plain_cpu)
