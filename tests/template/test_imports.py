"""Imports go one way: functions and the command line, then the packages, then the shared base."""

from __future__ import annotations

import ast
from collections.abc import Iterable

import pytest

from tests.template.definitions import ROOT
from tests.template.sources import Module, everything_behind, modules

FLOORS: tuple[dict[str, str], ...] = (
    {
        "settings": "what the stack tells its functions",
        "model": "the nouns, and pure decisions about them",
        "text": "words, times and templates: what people read, made harmless",
        "aws": "clients, sessions, rights, errors translated, one HTTP client",
        "slack": "messages, webhooks, bots and threads",
        "targets": "what is deployed to, one kind after the other",
    },
    {"ledger": "facts, and the records that change with them"},
    {
        "intake": "reads what was uploaded",
        "gates": "one file a gate",
        "health": "one file a kind of check, and the verdict",
        "deployment": "what the steps decide together",
        "approval": "asks, and takes the answers",
        "story": "the one narrator",
        "notices": "facts to channels",
    },
    {
        "runtime": "what a function has around it",
        "supervision": "looks at releases from outside of their flow",
    },
)
"""The house, from the ground up: a place knows those below it."""
ROOMS_THAT_ALL_MAY_ENTER = {"story"}
"""Facts and endings in words: used by notices, page and command line."""

DESCRIBED_IN_ROOMS = {"targets", "health"}
"""Each kind's part of an application's configuration is in its own file there, and never imports the whole."""
READS_THE_WHOLE = {"tagship.model.application", "tagship.model.documents"}

# Modules with exclusive permissions, and the reason.
MAKES_CLIENTS = {"tagship.aws.clients"}
OPENS_CONNECTIONS = {"tagship.aws.web"}
"""So that each of them has a deadline, a bound and no redirect."""
HANDS_OVER_THE_ENVIRONMENT = {"tagship.runtime"}
"""To the settings, which read a mapping and nothing else."""
KNOWS_THE_KEYS = {"tagship.notices.bus"}
"""Used by the ledger and by the bus, which leaves them out of its events."""
READS_DOCUMENTS = {"tagship.model.documents", "tagship.model.fields"}
HANDLER_LINES = 60
"""The limit of a function's file. More code than that is business logic, which belongs in a package."""
TOOLS = {"ministack", "moto", "tools", "tagship_cli", "tests", "pytest", "samcli", "yaml", "click"}


def place(name: str) -> str:
    """`tagship.gates.tag` belongs to `gates`."""
    first, *rest = name.split(".")
    return first if first == "functions" or not rest else rest[0]


def ours(module: Module) -> set[str]:
    return {name for name in module.imports() if name.split(".")[0] in ("tagship", "functions")}


def test_every_module_of_the_layer_has_a_defined_place() -> None:
    places = {place(module.name) for module in modules()} - {"tagship", "functions"}
    assert places == {name for floor in FLOORS for name in floor}


def known(module: Module) -> set[str]:
    """The places that a module imports from, its own left out."""
    return {place(name) for name in ours(module)} - {place(module.name)}


def in_places(*places: str) -> list[Module]:
    return [module for module in modules() if place(module.name) in places]


@pytest.mark.parametrize("floor", range(len(FLOORS)))
def test_a_package_imports_lower_packages_only(floor: int) -> None:
    below = {name for lower in FLOORS[:floor] for name in lower}
    may = below | (set(FLOORS[0]) if floor == 0 else ROOMS_THAT_ALL_MAY_ENTER)
    if floor == len(FLOORS) - 1:
        may |= set(FLOORS[floor])
    unasked = {
        module.name: known(module) - may - (DESCRIBED_IN_ROOMS if module.name in READS_THE_WHOLE else set())
        for module in in_places(*FLOORS[floor])
    }
    assert {name: places for name, places in unasked.items() if places} == {}


def test_a_configuration_part_does_not_import_the_whole_configuration() -> None:
    knowing = {
        it.name for it in in_places("health") if "tagship.model.application" in everything_behind(it.name)
    }
    assert knowing == set()


@pytest.mark.parametrize("module", in_places("functions"), ids=lambda it: it.name)
def test_a_handler_parses_its_event_and_calls_one_package(module: Module) -> None:
    assert len(module.path.read_text().splitlines()) <= HANDLER_LINES


def test_no_function_imports_another() -> None:
    assert {
        module.name for module in modules() if any(name.startswith("functions") for name in ours(module))
    } == set()


def test_no_imports_are_circular() -> None:
    names = {module.name for module in modules()}
    for module in modules():
        for name in (ours(module) - {module.name}) & names:
            in_a_circle = module.name in everything_behind(name, by_name=False) and module.name != room_of(
                name
            )
            assert not in_a_circle, f"{module.name} and {name} import each other"


def test_only_one_module_creates_clients_and_sessions() -> None:
    making = {
        module.name
        for module in modules()
        if module.imports() & {"boto3", "boto3.session", "botocore.session"}
        or any(text in ast.unparse(module.tree) for text in ("boto3.client", "boto3.resource", ".Session("))
    }
    assert making == MAKES_CLIENTS


def test_only_one_module_makes_http_requests() -> None:
    clients = {"http.client", "socket", "urllib.request", "urllib3", "requests", "httpx", "aiohttp"}
    command_line = [Module(f"tagship_cli.{path.stem}", path) for path in (ROOT / "cli").rglob("*.py")]
    speaking = {it.name for it in (*modules(), *command_line) if it.imports() & clients}
    assert speaking == OPENS_CONNECTIONS


def test_only_the_settings_read_the_environment() -> None:
    reading = {
        module.name
        for module in modules()
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "putenv"))
        or (isinstance(node, ast.Name) and node.id in ("environ", "getenv"))
    }
    assert reading == HANDS_OVER_THE_ENVIRONMENT


def test_the_environment_is_read_in_one_line_that_runs_once() -> None:
    (runtime,) = in_places("runtime")
    lines = [line.strip() for line in runtime.path.read_text().splitlines() if "environ" in line]
    assert lines == ["return Runtime(settings=Settings.from_environment(os.environ))"]
    (reading,) = [
        node
        for node in runtime.tree.body
        if isinstance(node, ast.FunctionDef) and "os.environ" in ast.unparse(node)
    ]
    assert [ast.unparse(decorator) for decorator in reading.decorator_list] == ["functools.cache"]


def test_only_the_ledger_knows_the_tables_keys() -> None:
    knowing = {
        module.name
        for module in modules()
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Constant) and node.value in ("pk", "sk"))
        or (isinstance(node, ast.keyword) and node.arg in ("pk", "sk"))
    }
    assert {name for name in knowing if place(name) != "ledger"} == KNOWS_THE_KEYS


def test_only_modules_that_read_documents_load_pydantic() -> None:
    pydantic = {"pydantic", "pydantic_core", "pydantic_settings"}
    assert {module.name for module in modules() if roots(module.imports()) & pydantic} == READS_DOCUMENTS
    assert {module.name for module in modules() if roots(at_top(module)) & pydantic} == {
        "tagship.model.documents"
    }


def test_documents_are_parsed_when_a_release_arrives_and_by_no_later_step() -> None:
    """pydantic costs a cold start 166 ms."""
    reading = {
        module.name
        for module in in_places("functions")
        if "tagship.model.documents" in everything_behind(module.name)
    }
    assert reading == {"functions.read_release"}


def test_deployed_code_imports_no_tools_or_tests() -> None:
    assert {
        module.name: roots(module.imports()) & TOOLS
        for module in modules()
        if roots(module.imports()) & TOOLS
    } == {}


def test_importing_a_module_runs_nothing() -> None:
    """A module's top level contains only definitions and constants."""
    running = [
        f"{module.name}: {ast.unparse(node)}"
        for module in modules()
        for node in module.tree.body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ]
    assert running == []


@pytest.mark.parametrize("folder", ["cli", "tools"])
def test_the_tools_never_import_the_tests(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        assert not roots(Module(f"{folder}.{path.stem}", path).imports()) & {"tests", "pytest", "moto"}, path


def test_the_command_line_does_not_need_the_embedded_engine() -> None:
    for path in (ROOT / "cli").rglob("*.py"):
        assert "ministack" not in {
            name.split(".")[0] for name in Module(f"tagship_cli.{path.stem}", path).imports()
        }, path


def at_top(module: Module) -> set[str]:
    """The modules that are imported when the module is."""
    found: set[str] = set()
    for node in module.tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def roots(names: Iterable[str]) -> set[str]:
    """`botocore.config` is botocore's."""
    return {name.split(".")[0] for name in names}


def room_of(name: str) -> str:
    return name.rsplit(".", 1)[0]


def test_optional_parts_of_the_page_are_loaded_only_when_enabled() -> None:
    """A sign-in's libraries cost more than the whole page."""
    assert {module.name for module in modules() if roots(at_top(module)) & {"jwt", "cryptography"}} == set()
    loaded = loaded_by("functions.approval_page")
    assert "tagship.approval.page.page" in loaded
    options = {"signin.login", "signin.provider", "page.slack_actions", "page.github_jobs"}
    assert loaded & {f"tagship.approval.{option}" for option in options} == set()
    assert "tagship.model.application" not in loaded, (
        "the nouns of a configuration are a fifteenth of its cold start"
    )


@pytest.mark.parametrize("function", ["notify", "broadcast", "preserve"])
def test_what_sends_notices_loads_no_configuration_and_no_kind_of_target(function: str) -> None:
    """They run about fifty times for each release, and none of them looks at a target."""
    loaded = loaded_by(f"functions.{function}")
    assert {"tagship.model.application", "tagship.targets", "tagship.health"} & loaded == set()


def loaded_by(name: str) -> set[str]:
    """The modules of ours that are imported when this one is; a module also imports the packages that it is in."""
    known = {module.name: module for module in modules()}
    loaded: set[str] = set()
    waiting = {name}
    while waiting:
        name = waiting.pop()
        loaded.add(name)
        parents = {name.rsplit(".", parts)[0] for parts in range(1, name.count(".") + 1)}
        waiting |= ((at_top(known[name]) | parents) & known.keys()) - loaded
    return loaded
