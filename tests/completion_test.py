"""Completions offer everything that --help lists, in each installed shell; the manual page has all of it, and the exit
statuses of docs/cli.md.

    completion_test.py PROGRAM"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

program = pathlib.Path(sys.argv[1]).resolve()
sources = pathlib.Path(__file__).resolve().parents[1]


def run(*words: str, **options) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, **options).stdout


def help_of(*command: str) -> tuple[list[str], list[str]]:
    """The flags and the commands inside of a command, as --help lists them."""
    text = run(program, *command, "--help")
    flags = []
    for line in text.splitlines():
        if found := re.match(r"(?:  ){1,2}((?:-\w,)?--[\w-]+(?:,--[\w-]+)*|-\w)(?![\w-])", line):
            flags += found[1].split(",")
    listed = text.partition("Subcommands:\n")[2]
    return flags, re.findall(r"^  (\S+)", listed, re.M)


def all_commands(*command: str):
    yield command
    for name in help_of(*command)[1]:
        yield from all_commands(*command, name)


def bash(*words: str) -> list[str]:
    """The words that bash offers at the end of a line."""
    script = run(program, "completion", "bash")
    line = " ".join(f"'{word}'" for word in ("onnxport", *words))
    return run("bash", "--norc", "-c", f"""{script}
COMP_WORDS=({line}); COMP_CWORD={len(words)}
_onnxport; printf '%s\\n' "${{COMPREPLY[@]}}" """).split()


def zsh(*words: str) -> list[str]:
    """The same for zsh, with stand-ins for its own functions."""
    script = run(program, "completion", "zsh")
    line = " ".join(f"'{word}'" for word in ("onnxport", *words))
    return run("zsh", "-fc", f"""compdef() {{ :; }}
compadd() {{ print -rl -- "$@"; }}
_files() {{ print -r -- FILES; }}
_describe() {{ print -rl -- "${{(@)${{(P)2}}%%:*}}"; }}
{script}
words=({line}); CURRENT={len(words) + 1}; PREFIX='{words[-1]}'
_onnxport""").split()


def fish(*words: str) -> list[str]:
    with tempfile.TemporaryDirectory() as home:
        script = pathlib.Path(home, "onnxport.fish")
        script.write_text(run(program, "completion", "fish"))
        line = " ".join(("onnxport", *words))
        text = run("fish", "--no-config", "-c", f"source {script}; complete -C '{line}'",
                   env={"HOME": home, "PATH": "/usr/bin:/bin", "TERM": "dumb"}, cwd=home)
    return [line.split("\t")[0] for line in text.splitlines()]


commands = list(all_commands())
assert ("export", "onnx") in commands and ("onnxruntime", "quantize") in commands, commands
manual = run(program, "man").replace("\\-", "-")
shells = {shell.__name__: shell for shell in (bash, zsh, fish) if shutil.which(shell.__name__)}
assert "bash" in shells
checked = 0
for command in commands:
    flags, inner = help_of(*command)
    assert "--help" in flags, (command, flags)
    for name, shell in shells.items():
        offered = [word for dash in ("-", "--") for word in shell(*command, dash)]
        assert set(flags) <= set(offered), (name, command, sorted(set(flags) - set(offered)))
        extra = {word for word in offered if word.startswith("--")} - set(flags)
        assert not extra, (name, command, extra)
        if inner:
            assert set(inner) <= set(shell(*command, "")), (name, command, shell(*command, ""))
    checked += len(flags)
    for flag in flags:
        assert f"\\fB{flag}\\fR" in manual, (command, flag)
assert checked > 100, checked

for name, shell in shells.items():
    assert sorted(shell("export", "onnx", "--dtype", "")) == ["bf16", "fp16", "fp32"], (name, shell("export", "onnx", "--dtype", ""))
    assert "bash" in shell("completion", ""), name
    # The value of a flag is no command.
    assert "--retry" in shell("export-many", "--jobs", "2", "--"), name
assert sorted(bash("export", "onnx", "--dtype", "=", "fp")) == ["fp16", "fp32"]
assert bash("export", "onnx", "--model", "") == []  # bash then offers files
if "zsh" in shells:
    assert zsh("export", "onnx", "--model", "") == ["FILES"]
statuses = re.findall(r"^\| (\d+) \|", (sources / "docs" / "cli.md").read_text().partition("\n## Exit status\n")[2], re.M)
assert len(statuses) > 10 and statuses == re.findall(r"^\.B (\d+)$", manual, re.M), (statuses, manual)
if shutil.which("man"):
    formatted = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", "-"], input=run(program, "man"),
                               text=True, capture_output=True, check=True)
    assert not formatted.stderr, formatted.stderr
print(f"{len(commands)} commands, {checked} flags in {', '.join(shells)} and the manual page"
      + "".join(f"; {name} is not installed" for name in ("zsh", "fish") if name not in shells))
