"""The terms that each person signs once per version (EP-05)."""

VERSION = "2026-11"
TERMS = (
    (
        "Who may use this portal",
        "You use the portal for your employer, as the person whose e-mail address was invited. Keep your password to yourself; a colleague "
        "who needs access gets an invitation of their own from the practice.",
    ),
    (
        "What you see",
        "Invoices name patients, dates, services and amounts. Use them only to check and pay what your employer owes, and show them to "
        "nobody who does not need them for that.",
    ),
    (
        "Paying",
        "When you confirm a payment, the card you entered at the card processor is charged the amount shown. The practice never sees the "
        "number of the card.",
    ),
    ("Disputes", "You may dispute a claim before it is paid. The practice answers by the date shown with the dispute."),
    (
        "Ending access",
        "The practice may end your access at any time, and you may ask it to do so. Receipts and invoices of the past stay with your "
        "employer's account.",
    ),
)
