"""What of a service's log is a mistake of ours, and what a kill around it or the release before explains."""

import json
import traceback
from pathlib import Path

import httpx

from deploy.local import plan as plans
from deploy.local.processes import Product
from services.posting.domain.batch import NotBalanced
from tests.chaos.mistakes import mistakes

CLOSED = "This payment batch is closed already"


class NoResultFound(Exception):
    """An error whose name does not say so."""


def line(level: str, logger: str, message: str, error: Exception | None = None) -> str:
    text = {"error": "".join(traceback.format_exception(error)).rstrip("\n")} if error else {}
    return json.dumps({"level": level, "logger": logger, "message": message} | text)


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    """The error as it is when it was raised, with its frames."""
    try:
        raise error from cause
    except Exception as found:
        return found


def wrong(message: str, error: Exception) -> str:
    return line("error", "shared.service", message, raised(error))


def test_errors_of_ours_are_told_from_peers_that_were_away(tmp_path: Path) -> None:
    lines = (
        line("info", "shared.service", "well"),
        line("warning", "shared.kafka", "parks a record", raised(ValueError("x"))),
        line("error", "aiokafka.consumer", "the group moves"),
        wrong("job papers failed", httpx.ConnectError("All connection attempts failed")),
        wrong("job days failed", RuntimeError("deadlock detected\nHINT:  See server log.")),
        wrong("job close failed", NotBalanced(CLOSED)),
        line("error", "shared.service", "job due failed", raised(NoResultFound("No row"), raised(ValueError("y")))),
        line("error", "shared.service", "job first failed", NoResultFound("never raised")),
        line("critical", "shared.service", "portal.read-model stands still"),
        '{"level": "error", "mess',  # killed while it wrote
        "Traceback (most recent call last):",
    )
    (tmp_path / "portal.log").write_text("\n".join(lines))
    assert mistakes(tmp_path, ("portal",)) == [
        "portal: job days failed: RuntimeError: deadlock detected",
        f"portal: job close failed: services.posting.domain.batch.NotBalanced: {CLOSED}",
        f"portal: job due failed: {__name__}.NoResultFound: No row",
        f"portal: job first failed: {__name__}.NoResultFound: never raised",
        "portal: portal.read-model stands still: ",
        "portal died of an exception of its own",
    ]


def test_a_mistake_of_the_release_beside_says_whose_it_is(tmp_path: Path) -> None:
    (tmp_path / "posting.0.before.log").write_text(wrong("job close failed", NotBalanced(CLOSED)))
    [said] = mistakes(tmp_path, ("posting.0",))
    assert said.startswith("posting.0 of the release before: job close failed: ")


def test_what_another_checkouts_code_says_is_logged_apart(tmp_path: Path) -> None:
    product = Product(plans.make(tmp_path / "data", tmp_path / "state", dict.fromkeys(plans.PARTS, 0)))
    before = tmp_path / "before"
    before.mkdir()
    (before / "who.py").write_text("print('I am the one before')")
    product.start("posting", before, ("who",)).wait()
    assert product.log("posting").name == "posting.before.log" and "the one before" in product.log("posting").read_text()
    product.start("posting", module=("this",)).wait()
    assert product.log("posting").name == "posting.log" and "Zen" in product.log("posting").read_text()
