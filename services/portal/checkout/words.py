"""How attempts end, in words."""

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

# Reason → what is known, what to do.
ENDINGS = {
    "declined": ("The card was declined", "Nothing was charged. Try another card, or call the number on the back of this one."),
    "brand": ("We cannot take this card", "We accept Visa, Mastercard and Discover. Nothing was charged."),
    "amount": ("The card processor answered with another amount", "Nothing was charged: the card is let go. Please try again from your cart."),
    "returned": ("The payment was given back", "The card processor took another amount, and gave it back. Your invoices can be paid again."),
    "released": ("The payment did not go through", "The card processor confirmed that nothing was charged. Your invoices can be paid again."),
    "changed": ("Something changed while you paid", "Nothing was charged. Please look at your cart again."),
    "cancelled": ("You cancelled this payment", "Nothing was charged. Your cart is kept."),
    "superseded": ("You started this payment again", "Nothing was charged here. Go on in the other window, or from your cart."),
    "unconfirmed": ("This payment was not confirmed in time", "Nothing was charged: after 30 minutes the card is let go. Your cart is kept."),
    "unreachable": ("The card processor did not answer", "Nothing was charged. Please try again from your cart."),
}


def many(count: int, one: str) -> str:
    """`three invoices`: counts up to nine in words."""
    return f"{NUMBERS[count] if count < len(NUMBERS) else f'{count:,}'} {one if count == 1 else one + 's'}"
