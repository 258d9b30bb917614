"""Commands in the documentation: found in code blocks and in code spans, and looked up in what they name.

A code block is taken for commands when its language is one of `SHELLS`, or when it names none and one of its lines
begins with a program of `PROGRAMS`. Its commands are executed by tests/integration/test_docs_run.py, or by the test
that the page has in `EXECUTED_BY`. A comment before the block says what is not, and why:

    <!-- not run: REASON -->              none of it
    <!-- not run (make test): REASON -->  only the commands that begin so

Those may be other people's programs. What is this project's own must be right there, too, and so must be what a reason
names: tests, targets, commands.
"""

import ast
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import click

from shopstream.reference.commands import programs

ROOT = Path(__file__).parent.parent
EXECUTED_BY = {"docs/adding-a-service.md": "tests/integration/test_adding_a_service.py"}
"""Pages that tests/integration/test_docs_run.py leaves to a test of their own."""
SHELLS = {"console", "sh", "bash", "shell"}
PROGRAMS = {
    "shopstream", "make", "python", "python3", "sudo", "env", "source", "ssh", "aws", "terraform", "ansible-playbook",
    "cat", "curl", "git", "kill", "pip", "apt-get", "docker", "kcat",
}  # fmt: skip
_FENCE = re.compile(r"(?P<indent> *)(?P<fence>```+|~~~+) *(?P<language>[\w-]*)")
_MARK = re.compile(r"<!-- *not run *(?:\((?P<which>[^()]+)\))?:(?P<reason>.*?)-->")
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_INDENTED = re.compile(rf" {{4}}(?:\$ )?(?:{'|'.join(sorted(PROGRAMS))}|scripts/\S+) ")
_SEPARATORS = set("|&;()")


class Wrong(Exception):  # noqa: N818 - what is wrong with a command
    """A command in the documentation that is not one."""


class Block(NamedTuple):
    """A code block with commands.

    Its first line's number, its commands, for each of them what the page shows below it, and, by how commands begin
    ("" for all of them), why they are not run.
    """

    line: int
    commands: list[str]
    shown: list[str]
    reasons: dict[str, str]

    def reason(self, command):
        """Why a command is not run; None: it is."""
        return next((why for begin, why in self.reasons.items() if _begins(command, begin)), None)

    @property
    def executed(self):
        """The commands that are run, and what the page shows below each."""
        pairs = zip(self.commands, self.shown, strict=True)
        return [(command, shown) for command, shown in pairs if self.reason(command) is None]


def _begins(command, begin):
    return not begin or f"{command} ".startswith(f"{begin} ")


def pages():
    """Everything that is documentation: the pages beside the code, not those in it or among the tests."""
    hidden = {"build", "site", "tests"}
    folders = [each for each in ROOT.iterdir() if each.is_dir() and each.name[0] != "." and each.name not in hidden]
    found = [page for folder in folders for page in folder.rglob("*.md") if ".terraform" not in page.parts]
    return sorted([*ROOT.glob("*.md"), *found])


def blocks(text):
    """The blocks of a page that hold commands."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        opened = _FENCE.fullmatch(lines[number].rstrip())
        number += 1
        if not opened:
            continue
        start, content = number, []
        while number < len(lines) and not lines[number].strip().startswith(opened["fence"]):
            content.append(lines[number].removeprefix(opened["indent"]))
            number += 1
        number += 1
        if opened["language"] in SHELLS or (not opened["language"] and any(map(_begins_a_command, content))):
            typed = _prompted(content) if opened["language"] == "console" else [(line, "") for line in _joined(content)]
            commands, shown = [command for command, _ in typed], [printed for _, printed in typed]
            block = Block(start + 1, commands, shown, _reasons(lines[: start - 1]))
            for begin in block.reasons:
                if not any(_begins(command, begin) for command in block.commands):
                    raise Wrong(f"`not run ({begin})`, and no command of the block begins so")
            yield block
        elif any(line.startswith("$ ") for line in content):
            raise Wrong(f"line {start + 1}: what is typed stands in a block of the language console, where it is run")


def _begins_a_command(line):
    first = re.sub(r"^[$#] ", "", line).partition(" ")[0]
    return first in PROGRAMS or first.startswith(("scripts/", ".venv/bin/"))


def _reasons(before):
    """The reasons in the comments that stand just before a block, or with one empty line between."""
    above, found = list(before), {}
    if above and not above[-1].strip():
        above.pop()
    while above and (marked := _MARK.fullmatch(above.pop().strip())):
        if not marked["reason"].strip():
            raise Wrong("`not run` without a reason")
        found[(marked["which"] or "").strip()] = marked["reason"].strip()
    return found


def _joined(lines):
    """Commands of a script: without empty lines and comments, continued lines as one."""
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [line for line in whole.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _prompted(lines):
    """What was typed on a terminal, `$` or root's `#` before it and what continues it, and what was then printed."""
    typed, going_on = [], False
    for line in lines:
        if going_on:
            typed[-1][0] = typed[-1][0].removesuffix("\\") + line.strip()
        elif line.startswith(("$ ", "# ")):
            typed.append([line[2:], ""])
        else:
            if typed:
                typed[-1][1] += f"{line}\n"
            continue
        going_on = line.endswith("\\")
    return typed


def outside(text):
    """A page without its code blocks."""
    return re.sub(r"^ *(```+|~~~+).*?^ *\1", "", text, flags=re.MULTILINE | re.DOTALL)


def indented(text):
    """Commands in indented blocks, which nobody would look at."""
    return [line.strip() for line in outside(text).splitlines() if _INDENTED.match(line)]


def spans(text):
    """Code spans in a page's prose that begin with one of this project's own commands."""
    for span in _SPAN.findall(outside(text)):
        if re.match(
            r"(?:shopstream|make|python -m shopstream[.\w]*|python scripts/\S+|scripts/\S+\.(?:sh|py))(?: |$)", span
        ):
            yield span.replace("\\|", "|")


def simple(command):
    """The simple commands of a command line, each as its words: split at pipes and the like, without redirections."""
    lexer = shlex.shlex(re.sub(r"(?<=\s)\d(?=>)", "", command), posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    found, skip = [[]], False
    for word in lexer:
        if word.startswith("#") and not skip:
            break
        if set(word) <= _SEPARATORS:
            found.append([])
        elif set(word) <= {"<", ">", "&"}:
            skip = True  # the file's name follows
        elif skip:
            skip = False
        else:
            found[-1].append(word)
    return [words for words in map(_without_prefix, found) if words]


def _without_prefix(words):
    """A command without what only says as whom, or with which environment, it runs."""
    while words:
        if not re.match(r"[A-Za-z_]\w*=", words[0]) and words[0] not in {"sudo", "-E", "env", "exec"}:
            break
        words = words[1:]
    return words


def check(words, *, marked):
    """Look a simple command up.

    Args:
        words: Its words.
        marked: Whether it may be somebody else's program, because it says why it is not run.

    Raises:
        Wrong: It is none that this project has.
    """
    program, arguments = words[0].removeprefix(".venv/bin/").removeprefix("./"), words[1:]
    if program == "shopstream":
        called(programs()["shopstream"], "shopstream", arguments)
    elif program == "make":
        made(arguments)
    elif program in {"python", "python3"} and arguments[:1] == ["-m"]:
        module(arguments[1], arguments[2:])
    elif program in {"python", "python3"} and arguments and arguments[0].endswith(".py"):
        script(arguments[0], arguments[1:])
    elif program.startswith("scripts/"):
        script(program, arguments)
    elif not marked and program not in {"cd", "export"}:
        raise Wrong(f"{program} is no program of this project: say why it is not run, <!-- not run: REASON -->")


def called(command, name, arguments, parent=None):
    """Let click parse a call, its subcommands included, without carrying anything out.

    Raises:
        Wrong: click refuses it.
    """
    try:
        context = command.make_context(name, list(arguments), parent=parent)
        if isinstance(command, click.Group):
            rest = [*getattr(context, "_protected_args", ()), *context.args]
            if rest:
                child, found, rest = command.resolve_command(context, rest)
                called(found, child, rest, context)
            elif not command.invoke_without_command:
                raise Wrong(f"{name}: a subcommand is missing")
    except click.exceptions.Exit:
        return  # --help, --version
    except click.ClickException as error:
        raise Wrong(f"{name}: {error.format_message()}") from error


def mentioned(span):
    """Look up what a code span mentions: commands and options, whatever their values; `a|b` are two, `…` ends it.

    Raises:
        Wrong: There is no such thing.
    """
    words = re.split(r"…|\.\.\.", span)[0].split()
    name = next((name for name in programs() if words[: len(name.split())] == name.split()), None)
    if name is None:
        check(words, marked=False)
        return
    command = programs()[name]
    for word in words[len(name.split()) :]:
        if word.startswith("-"):
            option = word.strip("[]").partition("=")[0]
            known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help", "-h"}
            if option not in known:
                raise Wrong(f"{span}: {command.name} has no {option}")
        elif isinstance(command, click.Group):
            context = click.Context(command)
            for name in word.split("|"):
                if command.get_command(context, name) is None:
                    raise Wrong(f"{span}: {command.name} has no command {name}")
            command = command.get_command(context, word.split("|")[0])
        else:
            break  # an argument, or an option's value


def targets(makefile=ROOT / "Makefile"):
    """What `make` can be asked for."""
    text = makefile.read_text(encoding="utf-8")
    variables = dict(re.findall(r"^(\w+)\s*[:?]?=\s*(.*?)\s*$", text, re.MULTILINE))
    found = set()
    for names in re.findall(r"^([^\s#:=.][^#:=\n]*|\.venv[^#:=\n]*):(?!=)", text, re.MULTILINE):
        for name in names.split():
            while "$(" in name:
                name = re.sub(r"\$\((\w+)\)", lambda match: variables[match[1]], name)
            found.add(name)
    return found


def made(arguments):
    """Look up targets of the Makefile; assignments may stand among them.

    Raises:
        Wrong: There is no such target.
    """
    wanted = [word for word in arguments if "=" not in word]
    for target in wanted:
        if target not in targets():
            raise Wrong(f"make {target}: the Makefile has no such target")


def module(name, arguments):
    """Look up `python -m`.

    Raises:
        Wrong: There is no such module, or it does not know an option.
    """
    program = f"python -m {name}"
    if program in programs():
        called(programs()[program], program, arguments)
        return
    path = ROOT / "src" / Path(*name.split("."))
    sources = [place for place in (path.with_suffix(".py"), path / "__main__.py") if place.is_file()]
    if not name.startswith("shopstream") or not sources:
        raise Wrong(f"{program}: there is no such module")
    _options(sources[0], arguments)


def script(name, arguments):
    """Look up a script and its options: in its own source, or where it hands them on to.

    Raises:
        Wrong: There is no such script, or it does not know an option.
    """
    path = ROOT / name
    if not path.is_file():
        raise Wrong(f"{name}: there is no such file")
    text = path.read_text(encoding="utf-8")
    behind = re.search(r"-m shopstream\.aws (?:(\w+)|\"\$command\")", text)
    if not behind:
        _options(path, arguments)
        return
    # What stands in these scripts themselves: `--verify` in front chooses another command than the one by default.
    command = behind[1] or re.search(r"^command=(\w+)$", text, re.MULTILINE)[1]
    if arguments[:1] == ["--verify"] and "--verify" in text:
        command, arguments = "verify", arguments[1:]
    called(programs()["python -m shopstream.aws"], "python -m shopstream.aws", [command, *arguments])


def _options(path, arguments):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":  # the words of its code; its docstring may promise anything
        tree = ast.parse(text)
        documented = {id(node.body[0].value) for node in ast.walk(tree) if _has_docstring(node)}
        nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in documented)
        known = {str(node.value) for node in nodes}
    else:
        known = set(re.findall(r"(?<![\w-])--[\w-]+", re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)))
    for word in arguments:
        option = word.partition("=")[0]
        if option.startswith("-") and option not in {*known, "-", "--", "-h", "--help"}:
            raise Wrong(f"{path.relative_to(ROOT)} has no option {option}")


def _has_docstring(node):
    kinds = ast.Module | ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef
    return isinstance(node, kinds) and node.body and isinstance(node.body[0], ast.Expr)


def unfounded(reason):
    """What a reason names that is not there: each of its code spans is a file or a command."""
    for span in _SPAN.findall(reason):
        try:
            if (ROOT / span).is_file():
                continue
            mentioned(span)
        except (Wrong, ValueError) as wrong:
            yield f"`{span}`: {wrong}"


def problems(text):
    """What is wrong with the commands of a page, one line each."""
    try:
        found = list(blocks(text))
    except Wrong as wrong:
        yield str(wrong)
        return
    for block in found:
        for command in block.commands:
            try:
                for words in simple(command):
                    check(words, marked=block.reason(command) is not None)
            except (Wrong, ValueError) as wrong:
                yield f"line {block.line}: {command.strip()}: {wrong}"
        for reason in block.reasons.values():
            yield from (f"line {block.line}: not run: {wrong}" for wrong in unfounded(reason))
    for span in spans(text):
        try:
            mentioned(span)
        except (Wrong, ValueError) as wrong:
            yield f"`{span}`: {wrong}"
    for line in indented(text):
        yield f"{line}: put it into a fenced block, where it is checked"
