"""Commerce: what he looked at, left, ordered, received and gave back.

Signals: `product_view`; `purchase` an order placed, with `spend:<currency>` in minor units;
`refund:<currency>` on the refund's own day (totals are positive); `order_reversed` an order cancelled or
wholly refunded; `stage_shown` a stage change the customer could see (a delivery is none: receiving is more than
seeing); `interest:<category>` by the points in `schemas.interests`.

An order is an open matter from its placing until it is delivered, cancelled or wholly refunded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from touchbook.schemas.details import INTEREST, REFUND, SPEND, Code, Details, Name, Register, Signal, Text
from touchbook.schemas.display import Display, Wording
from touchbook.schemas.interests import BOUGHT, LOOKED_AT, Category, interests
from touchbook.schemas.money import MoneyFields
from touchbook.schemas.numbers import NotBoolean
from touchbook.schemas.threads import Threaded, entered


class Item(BaseModel):
    """One line of a cart or order."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    product_id: Name | None = Field(None, description="The product.")
    name: Text | None = Field(None, description="Its name.")
    category: Category = Field(None, description="A category, or several.")
    quantity: Annotated[int, Field(ge=0, le=10**6), NotBoolean] | None = Field(None, description="How many.")


Items = tuple[Item, ...]


def _categories(category: Category, items: Items) -> Iterator[Category]:
    return chain((category,), (item.category for item in items))


class _OfOrder(Threaded):
    """A touchpoint of one order."""

    thread_from = ("order_id",)

    order_id: Name = Field(description="The order.")

    def _state(self, state: str) -> Register:
        return Register("case", self._key, {"kind": "order", "id": self.order_id, "state": state})

    @property
    def _key(self) -> str:
        return f"order:{self.order_id}"


class ProductViewed(MoneyFields, Details):
    """He looked at a product."""

    type = "product_viewed"
    family = "commerce"
    gives = ("product_view", INTEREST)
    from_public_key = True
    display = Display(
        icon="eye",
        en=Wording("Looked at a product[: {name|short}]", "[{category|join}][ · {amount|money}]"),
        ru=Wording("Просмотр товара[: {name|short}]", "[{category|join}][ · {amount|money}]"),
        tone="noise",
    )

    product_id: Name | None = Field(None, description="The product.")
    name: Text | None = Field(None, description="Its name.")
    category: Category = Field(None, description="A category, or several.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("product_view")
        yield from interests([self.category], LOOKED_AT)


class CartChanged(MoneyFields, Details):
    """He put something into his cart, took it out again, or looked what is in it."""

    type = "cart_changed"
    family = "commerce"
    gives = (INTEREST,)
    from_public_key = True
    display = Display(
        icon="shopping-basket",
        en=Wording(
            "Cart[ · {action|words}][: {name|short}]",
            "[{category|join}][ · {amount|money}]",
            {"added": "put in", "removed": "taken out", "viewed": "looked into"},
        ),
        ru=Wording(
            "Корзина[ · {action|words}][: {name|short}]",
            "[{category|join}][ · {amount|money}]",
            {"added": "добавлено", "removed": "убрано", "viewed": "просмотр"},
        ),
        tone="noise",
    )

    action: Literal["added", "removed", "viewed"] = Field(description="What he did.")
    cart_id: Name | None = Field(None, description="The cart.")
    product_id: Name | None = Field(None, description="The product.")
    name: Text | None = Field(None, description="Its name.")
    category: Category = Field(None, description="A category, or several.")

    def signals(self) -> Iterable[Signal]:
        return interests([self.category], LOOKED_AT) if self.action == "added" else ()


class CartAbandoned(MoneyFields, Details):
    """He left a full cart, for as long as the shop waits before saying so."""

    type = "cart_abandoned"
    family = "commerce"
    gives = (INTEREST,)
    from_public_key = True
    display = Display(
        icon="shopping-cart",
        en=Wording("Left a cart behind[: {amount|money}]", "[{items|join}]"),
        ru=Wording("Брошенная корзина[: {amount|money}]", "[{items|join}]"),
    )

    cart_id: Name | None = Field(None, description="The cart.")
    items: Items = Field((), description="What lies in it.")
    category: Category = Field(None, description="A category, or several, where the items name none.")

    def signals(self) -> Iterable[Signal]:
        return interests(_categories(self.category, self.items), LOOKED_AT)


class OrderPlaced(MoneyFields, _OfOrder):
    """The purchase. A negative amount is kept and marked, and gives no money signal."""

    type = "order_placed"
    family = "commerce"
    gives = ("purchase", SPEND, INTEREST)
    display = Display(
        icon="shopping-bag",
        en=Wording("Order {order_id} placed[ for {amount|money}]", "[{items|join}]"),
        ru=Wording("Заказ {order_id} оформлен[ на {amount|money}]", "[{items|join}]"),
        tone="good",
    )

    items: Items = Field((), description="What was ordered.")
    category: Category = Field(None, description="A category, or several, where the items name none.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("purchase")
        if (money := self.money()) and money[1] >= 0:
            yield Signal(SPEND + money[0], money[1])
        yield from interests(_categories(self.category, self.items), BOUGHT)

    def marks(self) -> Iterable[str]:
        yield from super().marks()
        if self.amount is not None and self.amount < 0:
            yield "money_negative"

    def registers(self) -> Iterable[Register]:
        yield self._state("open")
        yield Register("case_opened", self._key, {"title": None})
        yield from entered(self._key, "placed")


ORDER_STAGES_EN = {
    "confirmed": "confirmed",
    "paid": "paid",
    "packed": "packed",
    "shipped": "on its way",
    "in_transit": "with the carrier",
    "out_for_delivery": "out for delivery",
    "ready_for_pickup": "ready for pick-up",
    "delayed": "delayed",
    "returned": "on its way back",
    "true": "",
    "false": "not shown to the customer",
}
ORDER_STAGES_RU = {
    "confirmed": "подтверждён",
    "paid": "оплачен",
    "packed": "собран",
    "shipped": "отправлен",
    "in_transit": "у перевозчика",
    "out_for_delivery": "у курьера",
    "ready_for_pickup": "ждёт в пункте выдачи",
    "delayed": "задерживается",
    "returned": "возвращается",
    "true": "",
    "false": "клиенту не показано",
}


class OrderStageChanged(_OfOrder):
    """An order moved on. A stage that the customer could not see counts for nothing."""

    type = "order_stage_changed"
    family = "commerce"
    gives = ("stage_shown",)
    default_direction = "out"
    display = Display(
        icon="package",
        en=Wording(
            "Order {order_id}: {stage|words}",
            "[{note|short}][ · expected {expected_at|datetime}][ · {visible|words}]",
            ORDER_STAGES_EN,
        ),
        ru=Wording(
            "Заказ {order_id}: {stage|words}",
            "[{note|short}][ · ожидается {expected_at|datetime}][ · {visible|words}]",
            ORDER_STAGES_RU,
        ),
    )

    stage: Code = Field(description="confirmed, paid, packed, shipped, ready_for_pickup or another word.")
    note: Text | None = Field(None, description="More about it.")
    expected_at: AwareDatetime | None = Field(None, description="When it should arrive.")
    visible: bool = Field(True, description="Whether the customer could see the change.")

    def signals(self) -> Iterable[Signal]:
        if self.visible:
            yield Signal("stage_shown")

    def registers(self) -> Iterable[Register]:
        yield from entered(self._key, self.stage)

    def shown_to_customer(self) -> bool:
        return self.visible


class OrderDelivered(_OfOrder):
    """The order reached him, and is an open matter no longer."""

    type = "order_delivered"
    family = "commerce"
    default_direction = "out"
    display = Display(
        icon="package-check",
        en=Wording("Order {order_id} arrived[ ({method|words})]", "[{note|short}][ · {location}]", {
            "courier": "by courier", "pickup": "picked up", "post": "by post", "locker": "in a locker",
        }),
        ru=Wording("Заказ {order_id} получен[ ({method|words})]", "[{note|short}][ · {location}]", {
            "courier": "курьер", "pickup": "самовывоз", "post": "почта", "locker": "постамат",
        }),
        tone="good",
    )  # fmt: skip

    method: Code | None = Field(None, description="courier, pickup, post, locker or another word.")
    note: Text | None = Field(None, description="More about it.")

    def registers(self) -> Iterable[Register]:
        yield self._state("closed")


_CANCEL_EN = {
    "out_of_stock": "out of stock",
    "changed_mind": "changed his mind",
    "payment_failed": "payment failed",
    "too_late": "took too long",
    "fraud": "suspected fraud",
    "defect": "defective",
    "wrong_size": "wrong size",
}
_CANCEL_RU = {
    "out_of_stock": "нет в наличии",
    "changed_mind": "больше не нужен",
    "payment_failed": "оплата не прошла",
    "too_late": "слишком долгое ожидание",
    "fraud": "подозрение на мошенничество",
    "defect": "брак",
    "wrong_size": "не подошёл размер",
}


class OrderCancelled(MoneyFields, _OfOrder):
    """Reverses the order it names. Its money is shown only: what was paid back comes as a refund."""

    type = "order_cancelled"
    family = "commerce"
    gives = ("order_reversed",)
    display = Display(
        icon="package-x",
        en=Wording(
            "Order {order_id} cancelled[: {reason|words}]", "[{amount|money}][ · {note|short}]", _CANCEL_EN
        ),
        ru=Wording(
            "Заказ {order_id} отменён[: {reason|words}]", "[{amount|money}][ · {note|short}]", _CANCEL_RU
        ),
        tone="bad",
    )

    reason: Code | None = Field(
        None, description="out_of_stock, changed_mind, payment_failed or another word."
    )
    note: Text | None = Field(None, description="More about it.")

    def signals(self) -> Iterable[Signal]:
        yield Signal("order_reversed")

    def registers(self) -> Iterable[Register]:
        yield self._state("closed")


class OrderRefunded(MoneyFields, _OfOrder):
    """Money given back for the order it names: for all of it, unless `partial` says otherwise.

    Sources write it with either sign; it is kept positive.
    """

    type = "order_refunded"
    family = "commerce"
    gives = ("order_reversed", REFUND)
    default_direction = "out"
    display = Display(
        icon="undo-2",
        en=Wording(
            "Refund for[ {partial|words}] order {order_id}[: {amount|money}]",
            "[{reason|words}][ · {items|join}][ · {note|short}]",
            {"true": "part of", "false": "", **_CANCEL_EN},
        ),
        ru=Wording(
            "Возврат[ {partial|words}] денег за заказ {order_id}[: {amount|money}]",
            "[{reason|words}][ · {items|join}][ · {note|short}]",
            {"true": "части", "false": "", **_CANCEL_RU},
        ),
    )

    partial: bool = Field(False, description="Only part of the order is paid back.")
    after_cancellation: bool = Field(
        False, description="The order was cancelled before and that was published: it is not reversed twice."
    )
    reason: Code | None = Field(None, description="defect, wrong_size, too_late or another word.")
    items: Items = Field((), description="What is paid back.")
    note: Text | None = Field(None, description="More about it.")

    @field_validator("amount")
    @classmethod
    def _without_sign(cls, amount: int | None) -> int | None:
        return amount if amount is None else abs(amount)

    def signals(self) -> Iterable[Signal]:
        if not self.partial and not self.after_cancellation:
            yield Signal("order_reversed")
        if money := self.money():
            yield Signal(REFUND + money[0], money[1])

    def registers(self) -> Iterable[Register]:
        if not self.partial:
            yield self._state("closed")
