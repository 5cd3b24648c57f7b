"""setup.sh from the outside: the real script in a copy of its own, with the heavy parts stubbed."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import conftest

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.txt", "requirements-dev.txt")
EX_UNAVAILABLE, EX_NOINPUT, EX_CONFIG = 69, 66, 78
EXAMPLE = "# keys\nAPI_KEY=\nSECRET_KEY=\nERASURE_KEY=\n\nMODE=sandbox\n"
# Every word that setup.sh calls on a host which has a bare Python and no uv.
BARE_HOST = ("bash", "cat", "cp", "dirname", "basename", "id", "rm", "sleep", "flock", "sed")
OLD_PYTHON = "#!/bin/sh\n[ \"$1\" = -V ] && echo 'Python 3.9.2'\nexit 1\n"
# A Python without venv: new enough, but `import ensurepip` fails.
NO_VENV_PYTHON = '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1 ;; esac\nexit 0\n'
NOT_ROOT = "#!/bin/sh\necho 1000\n"
# Stands for the installed .venv: shows what it was asked for and what it was given.
WITNESS = """#!/bin/sh
case "$2" in *version_info*) exit 0 ;; esac
[ "$2" = "failing stage" ] && { echo "the words of $2"; exit 3; }
echo "ASKED $*"
env | sed 's/^/ENV /'
"""


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with what setup.sh needs of the repository, and no .venv."""
    folder = tmp_path / "a checkout"
    (folder / "cli").mkdir(parents=True)
    for name in ("setup.sh", "cli/__init__.py", "cli/first_run.py", *LOCKS):
        shutil.copy2(ROOT / name, folder / name)
    (folder / ".env.example").write_text(EXAMPLE)
    return folder


@pytest.fixture
def ready(checkout: Path) -> Path:
    """The same, with a .venv that counts as installed and answers with what it saw."""
    write_program(checkout / ".venv/bin/python", WITNESS)
    for lock in LOCKS:
        shutil.copy(checkout / lock, checkout / f".venv/.installed-{lock}")
    return checkout


@pytest.fixture
def with_real_python(ready: Path) -> Path:
    """The same, with this test's own interpreter in .venv."""
    (ready / ".venv/bin/python").unlink()
    write_program(ready / ".venv/bin/python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    return ready


def bare_host(folder: Path, programs: dict[str, str]) -> dict[str, str]:
    """A PATH with almost nothing on it but the given programs."""
    for name in BARE_HOST:
        if found := shutil.which(name):
            folder.mkdir(exist_ok=True)
            (folder / name).symlink_to(found)
    for name, text in programs.items():
        (folder / name).unlink(missing_ok=True)
        write_program(folder / name, text)
    return {"PATH": str(folder)}


def setup(
    checkout: Path, *words: str, cwd: Path | None = None, env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run it as a person would; `env` is added to the test's own environment, whose size of the
    tests is not handed on."""
    own = {name: value for name, value in os.environ.items() if name != "EDS_LONG"}
    return subprocess.run(
        [checkout / "setup.sh", *words], cwd=cwd or checkout, env=own | (env or {}),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_it_is_well_formed_bash() -> None:
    for script in ("setup.sh", ".ci/run"):
        subprocess.run(["bash", "-n", ROOT / script], check=True)


@pytest.mark.parametrize("word", ["help", "-h", "--help"])
def test_usage_names_every_door_and_touches_nothing(checkout: Path, word: str) -> None:
    before = sorted(checkout.rglob("*"))
    done = setup(checkout, word)
    assert done.returncode == 0
    for command in ("demo", "test", "run", "<command>"):
        assert f"./setup.sh {command}" in done.stdout
    assert sorted(checkout.rglob("*")) == before


def test_an_old_python_is_refused_with_its_version(checkout: Path, tmp_path: Path) -> None:
    done = setup(checkout, env=bare_host(tmp_path / "bin", {"python3": OLD_PYTHON}))
    assert done.returncode == EX_UNAVAILABLE
    assert "Python 3.11 or newer is needed; python3 is Python 3.9.2" in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_host_without_python_is_told_so(checkout: Path, tmp_path: Path) -> None:
    done = setup(checkout, env=bare_host(tmp_path / "bin", {}))
    assert done.returncode == EX_UNAVAILABLE
    assert "no python3 is on PATH" in done.stderr


def test_without_a_venv_module_the_one_command_is_printed(checkout: Path, tmp_path: Path) -> None:
    path = bare_host(tmp_path / "bin", {"python3": NO_VENV_PYTHON, "id": NOT_ROOT})
    done = setup(checkout, env=path)
    assert done.returncode == EX_UNAVAILABLE
    assert "apt-get install -y python3-venv" in done.stderr


def test_root_gets_the_venv_module_from_apt(checkout: Path, tmp_path: Path) -> None:
    apt = f'#!/bin/sh\necho "$*" >>"{tmp_path}/apt"\ncase "$1" in install) exit 5 ;; esac\n'
    programs = {"python3": NO_VENV_PYTHON, "id": "#!/bin/sh\necho 0\n", "apt-get": apt}
    done = setup(checkout, env=bare_host(tmp_path / "bin", programs))
    asked = (tmp_path / "apt").read_text().splitlines()
    assert asked[0].startswith("update")
    assert asked[1].endswith("python3-venv")
    assert done.returncode == 5
    assert "stopped at: python3-venv (apt) (exit 5)" in done.stderr


def test_a_folder_named_venv_that_is_something_else_is_not_removed(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv/notes").write_text("mine")
    done = setup(checkout)
    assert done.returncode != 0
    assert "no virtual environment" in done.stderr
    assert (checkout / ".venv/notes").read_text() == "mine"


def test_keys_are_made_once_in_a_private_file(with_real_python: Path) -> None:
    done = setup(with_real_python)
    env = with_real_python / ".env"
    assert done.returncode == 0, done.stderr
    assert env.stat().st_mode & 0o777 == 0o600
    lines = dict(line.split("=", 1) for line in env.read_text().splitlines() if "=" in line)
    keys = [lines[name] for name in ("API_KEY", "SECRET_KEY", "ERASURE_KEY")]
    assert len(set(keys)) == 3
    assert all(len(key) == 64 for key in keys)
    assert lines["MODE"] == "sandbox"
    assert not any(key in done.stdout + done.stderr for key in keys)


def test_an_env_file_is_never_overwritten(with_real_python: Path) -> None:
    env = with_real_python / ".env"
    env.write_text("API_KEY=mine\n")
    assert setup(with_real_python).returncode == 0
    assert env.read_text() == "API_KEY=mine\n"


def test_no_keys_are_made_beside_a_database(with_real_python: Path) -> None:
    (with_real_python / "data").mkdir()
    (with_real_python / "data/email.db").touch()
    done = setup(with_real_python)
    assert done.returncode == EX_CONFIG
    assert "data/email.db exists" in done.stderr
    assert "Put the .env that belongs to this database back" in done.stderr
    assert not (with_real_python / ".env").exists()


def test_keys_in_the_environment_need_no_env_file(with_real_python: Path) -> None:
    done = setup(with_real_python, env=dict.fromkeys(("API_KEY", "SECRET_KEY", "ERASURE_KEY"), "x"))
    assert done.returncode == 0
    assert not (with_real_python / ".env").exists()


def test_a_checkout_without_example_says_so(with_real_python: Path) -> None:
    (with_real_python / ".env.example").unlink()
    assert setup(with_real_python).returncode == EX_NOINPUT
    assert not (with_real_python / ".env").exists()


def test_the_database_is_upgraded_where_there_is_an_app(ready: Path) -> None:
    assert "db upgrade" not in setup(ready).stdout
    (ready / "app.py").touch()
    assert "ASKED -m flask --app app db upgrade" in setup(ready).stdout


def test_old_lists_are_migrated_where_there_is_an_app(ready: Path) -> None:
    (ready / "subscribers.json").write_text("[]")
    (ready / "other list.json").write_text("[]")
    assert "migrate-json" not in setup(ready).stdout
    (ready / "app.py").touch()
    assert "ASKED -m flask --app app migrate-json subscribers.json" in setup(ready).stdout
    named = setup(ready, env={"LEGACY_JSON": "absent.json,other list.json"}).stdout
    assert "migrate-json other list.json" in named
    assert "subscribers.json" not in named.replace("LEGACY_JSON", "")
    assert "absent.json\n" not in named
    assert (ready / "subscribers.json").read_text() == "[]"


def test_an_old_list_that_cannot_be_migrated_stops_no_set_up(ready: Path) -> None:
    (ready / "app.py").touch()
    (ready / "subscribers.json").write_text("no JSON")
    failing = WITNESS.replace(
        'echo "ASKED', 'case "$*" in *migrate-json*) exit 65 ;; esac\necho "ASKED'
    )
    write_program(ready / ".venv/bin/python", failing)
    done = setup(ready)
    assert "subscribers.json was not migrated" in done.stdout
    assert "Ready." in done.stdout


def hostile_environment() -> dict[str, str]:
    """Each name that must be forgotten, and a few made of each prefix."""
    made = {f"{prefix}X" for prefix in conftest.FORGOTTEN_PREFIXES}
    known = {"SENDGRID_API_KEY", "SES_ENDPOINT_URL", "POSTMARK_BASE_URL", "AWS_SECRET_ACCESS_KEY"}
    return dict.fromkeys(made | known | conftest.FORGOTTEN | {"API_KEY"}, "hostile")


def test_every_setting_of_the_example_is_forgotten() -> None:
    text = (ROOT / ".env.example").read_text()
    settings = set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", text, flags=re.MULTILINE))
    assert settings >= {"API_KEY", "DATABASE_URL"}
    kept = dict.fromkeys(settings, "hostile")
    conftest.forget_settings(kept)
    assert "hostile" not in kept.values()


@pytest.mark.parametrize("command", ["demo", "test"])
def test_a_rehearsal_inherits_nothing_and_reads_no_env_file(ready: Path, command: str) -> None:
    done = setup(ready, command, env={"KEPT": "yes", **hostile_environment()})
    assert done.returncode == 0, done.stderr
    assert "hostile" not in done.stdout
    assert "ENV EDS_NO_DOTENV=1" in done.stdout
    assert "ENV FLASK_SKIP_DOTENV=1" in done.stdout
    assert "ENV KEPT=yes" in done.stdout


def test_other_commands_inherit_the_environment(ready: Path) -> None:
    (ready / ".env").touch()
    done = setup(ready, "worker", env={"DATABASE_URL": "sqlite:///mine.db"})
    assert "ENV DATABASE_URL=sqlite:///mine.db" in done.stdout
    assert "ENV FLASK_SKIP_DOTENV=1" in done.stdout, "the product reads .env itself"


def test_words_go_to_the_right_door(ready: Path) -> None:
    (ready / ".env").touch()
    assert "ASKED -u -m cli.demo --serve" in setup(ready, "demo", "--serve").stdout
    assert "ASKED app.py" in setup(ready, "run").stdout
    flask = "ASKED -m flask --app app"
    assert f"{flask} esp list --json" in setup(ready, "esp", "list", "--json").stdout


def test_a_file_is_found_from_the_callers_folder(ready: Path, tmp_path: Path) -> None:
    (ready / ".env").touch()
    (tmp_path / "list.csv").touch()
    done = setup(ready, "import-subscribers", "list.csv", "absent.csv", cwd=tmp_path)
    assert f"import-subscribers {tmp_path}/list.csv absent.csv" in done.stdout


def test_the_tests_run_after_lint_and_types_and_end_with_pytests_words(ready: Path) -> None:
    done = setup(ready, "test")
    shown = done.stdout
    order = [shown.index(name) for name in ("ruff check", "ruff format", "mypy", "ASKED -m pytest")]
    assert order == sorted(order)
    assert "--cov" in shown
    assert "ENV EDS_LONG" not in shown


def test_chosen_tests_run_without_the_gate_and_long_ones_in_full_size(ready: Path) -> None:
    shown = setup(ready, "test", "--long", "-k", "crash or failover").stdout
    assert "-k crash or failover" in shown
    assert "--cov" not in shown
    assert "ENV EDS_LONG=1" in shown


@pytest.mark.parametrize("stage", ["ruff", "mypy"])
def test_the_first_failing_stage_is_named_and_the_last(ready: Path, stage: str) -> None:
    write_program(ready / ".venv/bin/python", WITNESS.replace('"failing stage"', stage))
    done = setup(ready, "test")
    assert done.returncode == 3
    assert f"stopped at: {stage}" in done.stderr
    assert f"the words of {stage}" in done.stderr
    assert "pytest" not in done.stdout


def test_a_second_set_up_takes_a_moment(with_real_python: Path) -> None:
    setup(with_real_python)
    began = time.monotonic()
    assert setup(with_real_python).returncode == 0
    assert time.monotonic() - began < 5


def test_a_changed_lock_is_installed_and_stamped(ready: Path, tmp_path: Path) -> None:
    with (ready / "requirements.txt").open("a") as lock:
        lock.write("# changed\n")
    write_program(tmp_path / "bin/uv", f'#!/bin/sh\necho "$*" >>"{tmp_path}/uv"\n')
    with_uv = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    assert setup(ready, env=with_uv).returncode == 0
    asked = (tmp_path / "uv").read_text()
    assert asked.startswith("pip install --quiet --python .venv/bin/python --require-hashes -r req")
    assert setup(ready, env=with_uv).returncode == 0
    assert (tmp_path / "uv").read_text() == asked


def test_the_committed_locks_name_no_index_and_no_machine() -> None:
    for lock in LOCKS:
        text = (ROOT / lock).read_text()
        assert "://" not in text
        assert "index-url" not in text.replace("--no-emit-index-url", "")
        assert "file:" not in text
        assert "--hash=sha256:" in text
