"""The order of the modules: each imports only from floors below its own."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import sockets

FLOORS = {
    0: "exceptions statuses messages conf values encoding faults functions signals",
    1: "sync lanes share lane backlog writer outbox fanout window answers calls streams hooks "
    "strikes sessions geoip layers violations forms pydantic_models schemas patterns arguments "
    "content permissions guards stages multiplexing pipeline routes consumer timeouts mailbox "
    "reader scope protocols.__init__ protocols.base protocols.native protocols.msgpack "
    "protocols.observable protocols.dcrf protocols.replykey built_in attributes declaration",
    2: "broadcasts ledger carriers redis_carrier listener brokers identity rows lease registry "
    "member members watch heartbeat hub senders groups recipients models tokens",
    3: "connection socket entrance handlers",
    4: "router",
    5: "mounts listing",
    6: "admin asgi receivers project_checks route_checks checks apps __init__ "
    "compat.__init__ compat.original compat.connecting compat.observable "
    "compat.observable_functions compat.replykey compat.replykey_methods "
    "management.__init__ management.commands.__init__ management.commands.socket_routes "
    "management.commands.prune_sockets",
}
FLOOR_OF = {module: floor for floor, modules in FLOORS.items() for module in modules.split()}

WITHIN_A_FLOOR = {
    "conf": "exceptions",
    "encoding": "values",
    "faults": "exceptions",
    "functions": "exceptions",
    "messages": "exceptions",
    "writer": "backlog sync",
    "outbox": "backlog lanes sync writer",
    "fanout": "backlog outbox",
    "window": "backlog sync writer",
    "streams": "sync",
    "heartbeat": "members",
    "answers": "outbox protocols.base sync",
    "schemas": "forms pydantic_models violations",
    "arguments": "schemas",
    "content": "arguments schemas",
    "permissions": "scope",
    "guards": "permissions scope",
    "multiplexing": "arguments",
    "stages": "arguments guards permissions",
    "pipeline": "arguments content guards schemas stages",
    "routes": "arguments content guards multiplexing pipeline schemas stages",
    "built_in": "routes",
    "attributes": "guards permissions protocols.base protocols.msgpack protocols.native routes",
    "declaration": "arguments attributes built_in guards pipeline protocols.base routes stages",
    "share": "lanes",
    "lane": "lanes share sync",
    "lanes": "sync",
    "hooks": "arguments",
    "layers": "declaration routes",
    "mailbox": "lane routes sync timeouts",
    "reader": "backlog mailbox sync",
    "protocols.native": "protocols.base",
    "protocols.msgpack": "protocols.native",
    "protocols.observable": "protocols.base",
    "protocols.dcrf": "multiplexing protocols.base",
    "protocols.replykey": "protocols.base",
    "scope": "protocols.base",
    "socket": "connection",
    "handlers": "entrance socket",
    "identity": "broadcasts",
    "rows": "identity",
    "member": "broadcasts identity rows",
    "members": "broadcasts",
    "watch": "broadcasts identity members",
    "redis_carrier": "carriers",
    "listener": "carriers ledger",
    "brokers": "carriers ledger listener redis_carrier",
    "hub": "broadcasts brokers heartbeat members registry watch",
    "senders": "broadcasts brokers hub",
    "groups": "broadcasts senders",
    "recipients": "broadcasts senders",
    "models": "broadcasts recipients senders",
    "checks": "compat.observable project_checks route_checks",
    "compat.observable": "compat.connecting compat.observable_functions",
    "compat.replykey": "compat.connecting compat.replykey_methods",
    "apps": "checks receivers",
    "registry": "lease",
}
IN_FUNCTIONS = {
    ("brokers", "_make_carrier"): "its module needs the extra redis, which not all have",
    ("scope", "anonymous_user"): "its module holds models, which may be loaded once the apps are",
    ("apps", "check_sockets"): "a server runs no checks, and need not load their modules",
    ("apps", "check_deployment"): "a server runs no checks, and need not load their modules",
    ("models", "geoip"): "its module needs the extra geoip, which only those who call it have",
}
FORBIDDEN_NAMES = {"utils", "helpers", "core", "common", "mixins"}


class WithoutTypeChecking(ast.NodeTransformer):
    def visit_If(self, node):
        self.generic_visit(node)
        return node.orelse if ast.unparse(node.test) == "TYPE_CHECKING" else node


PACKAGE = Path(sockets.__file__).parent
TREES = {
    ".".join(file.relative_to(PACKAGE).with_suffix("").parts): WithoutTypeChecking().visit(
        ast.parse(file.read_text())
    )
    for file in sorted(PACKAGE.rglob("*.py"))
    if file.parent.name != "migrations"
}


def imports(module):
    """The modules of the package that a module imports, at its top or in a function."""
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.ImportFrom) and node.level:
            parts = [*module.split(".")[: -node.level], *(node.module or "").split(".")]
            target = ".".join(filter(None, parts))
            yield from (
                [target]
                if target in TREES
                else [f"{target}.{alias.name}".strip(".") for alias in node.names]
            )


def test_every_module_has_its_floor():
    assert sorted(FLOOR_OF) == sorted(TREES)


@pytest.mark.parametrize("module", TREES)
def test_imports_go_to_a_lower_floor(module):
    beside = {target for target in imports(module) if FLOOR_OF[target] >= FLOOR_OF[module]}
    assert beside == set(WITHIN_A_FLOOR.get(module, "").split())


def test_no_module_imports_itself_through_others():
    TopologicalSorter({module: set(imports(module)) for module in TREES}).prepare()


@pytest.mark.parametrize("module", TREES)
def test_imports_within_the_package_are_relative(module):
    for node in ast.walk(TREES[module]):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        assert "sockets" not in {name.partition(".")[0] for name in names}


def test_imports_stand_at_the_top():
    found = {
        (module, function.name)
        for module, tree in TREES.items()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert found == set(IN_FUNCTIONS)


def test_modules_are_named_for_what_they_hold():
    for module in TREES:
        assert not FORBIDDEN_NAMES & set(module.split("."))
        assert not module.endswith("base") or module == "protocols.base"
