"""What stands around a page: the branded header of visitors and the ink bar of staff, as plain data."""

from dataclasses import dataclass, field

from shared.web.brand import DEFAULT, Colours


@dataclass(frozen=True)
class Link:
    """A link of a header or menu. `post` makes it a button that sends an empty form to `href`; `count` 0 shows no number."""

    text: str
    href: str
    post: bool = False
    count: int = 0


@dataclass(frozen=True)
class Idle:
    """When a session ends by itself: the page warns `warn` seconds after it was loaded, leaves for `leave` after `end` seconds.

    `stay` answers a POST and renews the session; `ends` says the end in words for pages without script ("10:23 AM Eastern").
    """

    warn: int
    end: int
    stay: str
    leave: str
    log_out: str
    ends: str
    kept: str = ""


@dataclass(frozen=True)
class Visitor:
    """Header and footer of a page for employers and patients; a person who is not logged in has no name and no account."""

    practice: str
    brand: Colours = DEFAULT
    home: str = "/"
    logo: str = ""
    logo_alt: str = ""
    phone: str = ""
    hours: str = ""
    nav: tuple[Link, ...] = ()
    person: str = ""
    menu: tuple[Link, ...] = ()
    account: str = ""
    switch: str = ""
    cart: Link | None = None
    idle: Idle | None = None


@dataclass(frozen=True)
class Desk:
    """The ink bar of a staff page: practice, areas the person may open, who is signed in."""

    practice: str = ""
    areas: tuple[Link, ...] = field(default_factory=tuple)
    person: str = ""
    roles: str = ""
