"""Conventions of the house, as tests: what is written here holds for every file."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.docs import documents, marks, readers, rules
from shared.events import Topic, contracts, ingress, invoicing, notifier, portal, posting

ROOT = Path(__file__).parent.parent
SERVICES = ("invoicing", "portal", "posting", "contracts", "notifier")
SOURCES = sorted(file for top in ("shared", "services", "deploy") for file in (ROOT / top).rglob("*.py") if "migrations" not in file.parts)
LONGEST = 320  # lines: past about 300 a file splits by noun
LAYERS = ("domain", "tables", "store", "handlers")  # a layer imports from those before it, never from those after


def imports(file: Path) -> list[str]:
    """Full names of the modules a file imports, or names in a text as `import_module` takes it."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = file.relative_to(ROOT).parts[: -node.level] if node.level else ()
            module = ".".join((*above, *filter(None, [node.module])))
            found += [module, *(f"{module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"services\.\w+(\.\w+)*", node.value):
            found.append(node.value)
    return found


def tracked() -> list[str]:
    """Files of the checkout that are text of ours."""
    if shutil.which("git") and (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    else:  # a machine with Python alone: whatever lies here, but in folders that are made by running it
        found = (file.relative_to(ROOT) for file in ROOT.rglob("*"))
        listed = [str(name) for name in found if not any(part.startswith(".") or part == "__pycache__" for part in name.parts[:-1])]
    kinds = (".py", ".md", ".toml", ".j2", ".typ", ".css", ".js", ".sh", ".txt", ".json", "Makefile", "run")
    return [name for name in listed if name.endswith(kinds) and (ROOT / name).is_file()]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.req("PF-01")
def test_no_service_imports_another_and_shared_imports_none(service: str) -> None:
    for file in (file for top in ("shared", "services") for file in (ROOT / top).rglob("*.py")):
        here = file.relative_to(ROOT).parts
        outside = ("deploy", "tests") if here[:2] == ("services", service) else ("deploy", "tests", f"services.{service}")
        assert not [name for name in imports(file) if name.startswith(outside)], file


def test_the_events_and_the_other_ground_hold_no_import_of_each_other_but_downwards() -> None:
    for file in (ROOT / "shared" / "events").glob("*.py"):
        assert all(not name.startswith("shared.") or name.startswith("shared.events") for name in imports(file)), file


@pytest.mark.parametrize("service", SERVICES)
def test_layers_import_only_what_is_below_them(service: str) -> None:
    base = ROOT / "services" / service
    for file in base.rglob("*.py"):
        mine = next((layer for layer in LAYERS if layer in file.relative_to(base).with_suffix("").parts), None)
        if mine:
            above = (*LAYERS[LAYERS.index(mine) + 1 :], "consumers", "api", "pages", "jobs", "main")
            wrong = [name for name in imports(file) if name.startswith(f"services.{service}.") and set(name.split(".")[2:]) & set(above)]
            assert not wrong, f"{file.relative_to(ROOT)} imports {wrong}"


def test_domain_code_asks_no_clock_and_no_database() -> None:
    for file in (ROOT / "services").glob("*/domain/*.py"):
        text = file.read_text()
        assert not re.search(r"datetime\.now|date\.today|time\.time|import sqlalchemy|from sqlalchemy", text), file


def test_subscribers_are_made_in_one_place() -> None:
    assert [str(file.relative_to(ROOT)) for file in SOURCES if ".subscriber(" in file.read_text()] == ["shared/kafka.py"]


def test_an_event_is_named_where_it_is_declared_said_and_read_and_nowhere_else() -> None:
    texts = {file: file.read_text() for file in SOURCES if file.relative_to(ROOT).parts[0] in ("shared", "services")}
    for module in (ingress, invoicing, portal, posting, contracts, notifier):
        for name, topic in vars(module).items():
            if isinstance(topic, Topic):
                files = [str(file.relative_to(ROOT)) for file, text in texts.items() if re.search(rf"\b{name}\b", text)]
                ours = topic.writer != "ingress"
                assert len(files) <= 1 + ours + (ours and topic.versioned) + len(readers(topic.name)), f"{topic.name}: {files}"


def test_money_is_never_a_float() -> None:
    for file in SOURCES:
        assert not re.search(r"_cents: float|Float\(|Column\(\"\w+_cents\", (Integer|Numeric)", file.read_text()), file


def test_files_stay_short_enough_to_read() -> None:
    long = {str(file.relative_to(ROOT)): lines for file in SOURCES if (lines := file.read_text().count("\n")) > LONGEST}
    assert not long


def test_modules_say_what_they_are_for() -> None:
    bare = [str(file.relative_to(ROOT)) for file in SOURCES if file.name != "__init__.py" and not ast.get_docstring(ast.parse(file.read_text()))]
    assert not bare


def test_no_vague_modules() -> None:
    assert not [file for file in SOURCES if file.stem in ("utils", "helpers", "common", "manager", "misc")]


def test_the_checkout_names_no_place_outside_itself() -> None:
    hosts = "|".join(("pypi" + r"\.org", "files\\." + "pythonhosted", "registry" + r"\.npmjs", "repo1" + r"\.maven", "deb" + r"\.debian\.org"))
    outside = re.compile(rf"{hosts}|(^|[\s\"'=(])/(work|home|root)/")
    wrong = [name for name in tracked() if outside.search((ROOT / name).read_text(errors="replace")) and name != "tests/test_tidy.py"]
    assert not wrong


def test_every_rule_a_test_names_is_in_the_list_of_rules_and_every_listed_rule_has_a_test() -> None:
    listed, named = set(rules()), set(marks())
    assert named - listed == set()
    assert listed - named == set()


def test_where_only_a_part_of_a_rule_is_built_its_tests_say_which_they_prove() -> None:
    partly = [rule for rule, built in rules().items() if not built.startswith("whole") or built.startswith("whole but")]
    found = marks()
    assert not [(rule, test) for rule in partly for test in found[rule] if not test.endswith("*")]


def test_the_generated_documents_are_those_of_this_code() -> None:
    stale = [str(path.relative_to(ROOT)) for path, content in documents().items() if not path.exists() or path.read_text() != content]
    assert not stale, "run `make docs`; a diff in docs/events or docs/openapi is an API change"
