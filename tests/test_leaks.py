"""Keys and tokens in git. Each one here is put together while the test runs, so that no file holds any."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.leaks import LARGEST, Leak, in_history, in_index, in_text, in_tree
from tests.conftest import git

ROOT = Path(__file__).parents[1]
GITHUB = "ghp_" + "a1B2" * 9
SECRETS = {
    "Google service account key": '"private_key_id" : "' + "0123456789" * 4 + '"',
    "Google API key": "AIza" + "Sy0_-" * 7,
    "Google OAuth client secret": "GOCSPX-" + "a1B2" * 7,
    "Google OAuth token": "ya29." + "a0_-" * 8,
    "Google OAuth refresh token": '"1//0' + "a1B2" * 12 + '"',
    "Hugging Face token": "hf_" + "aB" * 17,
    "GitHub Token": GITHUB,
    "GitHub token": "github_pat_" + "a1" * 11 + "_" + "b2" * 29 + "c",
    "GitLab Token": "glpat-" + "a1B2" * 5,
    "AWS Access Key": "AKIA" + "ABCD" * 4,
    "Azure Storage Account access key": "AccountKey=" + "a1B2" * 22,
    "NPM token": "//registry.npmjs.org/:_authToken=" + "npm_" + "a1B2" * 9,
    "OpenAI Token": "sk-" + "a1B2" * 5 + "T3Blbk" + "FJ" + "a1B2" * 5,
    "Private Key": "-----BEGIN " + "RSA PRIVATE KEY-----",
    "PyPI Token": "pypi-AgEIcHlwaS5v" + "cmc" + "a1B2" * 20,
    "SendGrid API Key": "SG." + "a1" * 11 + "." + "b2" * 21 + "c",
    "Anthropic token": "sk-" + "ant-api03-" + "a1B2_" * 20,
    "AWS secret key": "aws_secret_" + 'access_key = "' + "a1B2+" * 8 + '"',
    "private key of SSH2 or PuTTY": "PuTTY-User-" + "Key-File-3: ssh-ed25519",
    "private key in base64": base64.b64encode(b"-----BEGIN " + b"PRIVATE KEY-----" + b"MIIEvQ" * 20).decode(),
    "Google service account key in base64": base64.b64encode(
        b'{\n  "type": "service' + b'_account",' + b'\n  "project_id": "p"' * 9
    ).decode(),
    "Slack Token": "xoxb" + "-123456-" + "abcdef",
    "Stripe Access Key": "sk_" + "live_" + "a1B2" * 6,
    "Telegram Bot Token": "123456789:" + "a1B2_" * 7,
}


def commit(folder: Path, message: str = "x") -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One commit of a clean file."""
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "clean.py").write_text("password = input()\n" * 5)
    commit(tmp_path, "clean")
    return tmp_path


@pytest.mark.parametrize(("kind", "secret"), SECRETS.items(), ids=SECRETS)
def test_each_kind_of_secret_is_found_on_its_line_and_never_quoted(kind: str, secret: str) -> None:
    (leak,) = in_text(f"one\n\nkey = {secret}\n{'x' * 80}\n", "a/b.txt")
    assert leak == Leak(kind, "a/b.txt", 3)
    assert str(leak) == f"{kind} in a/b.txt, line 3"
    assert secret not in repr(leak)


def test_a_whole_key_of_a_service_account_is_found_by_both_of_its_marks() -> None:
    text = (
        '{\n  "private_key_id": "'
        + "0a" * 20
        + '",\n  "private_key": "-----BEGIN '
        + 'PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0B"\n}'
    )
    assert [(leak.kind, leak.line) for leak in in_text(text, "key.json")] == [
        ("Google service account key", 2),
        ("Private Key", 3),
    ]


@pytest.mark.parametrize("prefix", ["# ", "// ", "> ", "    ", "\\t"])
def test_a_key_that_is_commented_out_or_quoted_is_one(prefix: str) -> None:
    lines = ["-----BEGIN " + "PRIVATE KEY-----", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"]
    assert [leak.kind for leak in in_text("\n".join(prefix + line for line in lines), "a")] == ["Private Key"]


@pytest.mark.parametrize("begin", ["", "x", "xy"])
def test_a_service_accounts_key_in_base64_is_found_wherever_it_begins(begin: str) -> None:
    text = base64.b64encode(
        begin.encode() + b'{"type": "service_' + b'account", "project_id": "p"}' + b"x" * 200
    ).decode()
    assert [leak.kind for leak in in_text(text, "a")] == ["Google service account key in base64"]


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN " + "PRIVATE KEY-----" + "\\n" * 5000 + " x",
        "-----BEGIN " + "PRIVATE KEY-----" + "\\\\n" * 5000 + " x",
        "-----BEGIN " + "PRIVATE KEY-----" + "// \\" * 5000 + " x",
        'f("//a/b");' * 100_000,
        "QUJD/+" * 500_000,
    ],
    ids=["escapes", "double escapes", "comments", "minified", "base64"],
)
def test_the_search_ends_in_any_text(text: str) -> None:
    assert in_text(text, "a") == []  # patterns that go back and back would take for ever


def test_words_and_hashes_are_no_secrets() -> None:
    text = """
    md5: d751713988987e9331980363e24189ce.dir
    commit 9e20f803e459760768f1248b06ab3dc84f3b389d
    password = os.environ["PASSWORD"]; token = "changeme"; "private_key_id": "..."
    iVBORw0KGgoAAAANSUhEUgAAAKIAABCDEFGHABCDEFGH/AKIAABCDEFGHABCDEFGH+x
    export GDRIVE_CREDENTIALS_DATA="$(cat key.json)"   ghp_short   AIzaShort   hf_hub_download
    """
    assert in_text(text, "a") == []


def test_the_projects_own_files_hold_none() -> None:
    if subprocess.run(["git", "-C", str(ROOT), "rev-parse"], capture_output=True, check=False).returncode:
        pytest.skip("this is no git repository, or somebody else's")
    assert in_tree(ROOT) == []


def test_nothing_is_found_in_a_clean_repository(repository: Path) -> None:
    assert (in_tree(repository), in_index(repository), in_history(repository)) == ([], [], [])


def test_a_repository_without_any_commit_is_clean(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert (in_tree(tmp_path), in_index(tmp_path), in_history(tmp_path)) == ([], [], [])


def test_the_tree_is_what_git_has_and_what_it_would_take(repository: Path) -> None:
    (repository / "deep").mkdir()
    (repository / "deep/été.txt").write_text(f"\n{GITHUB}\n")
    assert in_tree(repository) == [Leak("GitHub Token", "deep/été.txt", 2)]
    commit(repository)
    assert in_tree(repository) == [Leak("GitHub Token", "deep/été.txt", 2)]
    (repository / "deep/été.txt").unlink()
    assert in_tree(repository) == []


def test_what_git_ignores_is_passed_over(repository: Path) -> None:
    (repository / ".gitignore").write_text("*.json\n")
    (repository / "key.json").write_text(GITHUB)
    assert in_tree(repository) == []


def test_only_very_large_files_are_passed_over(repository: Path) -> None:
    secret = GITHUB.encode()
    (repository / "large.txt").write_bytes(b"\n" * LARGEST + secret)
    assert in_tree(repository) == []
    (repository / "image.bin").write_bytes(b"\x89PNG\0" + secret)
    (repository / "latin.txt").write_bytes(b"\xe9t\xe9 " + secret)
    (repository / "windows.txt").write_bytes(f"token {GITHUB}".encode("utf-16"))
    git(repository, "add", "-A")
    for found in (in_tree(repository), in_index(repository)):
        assert [leak.path for leak in found] == ["image.bin", "latin.txt", "windows.txt"]


def test_a_file_is_found_whatever_its_name_and_whatever_git_takes_it_for(repository: Path) -> None:
    (repository / ".gitattributes").write_text("*.txt -diff\n")
    (repository / "0:key.txt").write_text(GITHUB)
    git(repository, "add", "-A")
    assert [leak.path for leak in in_index(repository)] == ["0:key.txt"]
    git(repository, "-c", "log.showRoot=false", "commit", "-qm", "x")
    git(repository, "config", "log.showRoot", "false")
    assert [leak.path for leak in in_history(repository)] == ["0:key.txt"]


def test_code_may_name_the_first_line_of_a_key() -> None:
    head = "-----BEGIN " + "PRIVATE KEY-----"
    assert in_text(f'if text.startswith("{head}"):\n    return\n', "a.py") == []
    body = "MIIEvQIBADANBgkqhkiG9w0BAQEF"
    for text in (f"{head}\n{body}", f'"{head}\\n{body}"', f"{head.replace('PRIVATE', 'RSA PRIVATE')}\r\n{body}"):
        assert [leak.kind for leak in in_text(text, "key")] == ["Private Key"]


def test_of_a_link_git_keeps_only_where_it_leads(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "key.txt"
    outside.write_text(GITHUB)
    (repository / "link").symlink_to(outside)
    (repository / "broken").symlink_to(repository / "nowhere")
    assert in_tree(repository) == []


def test_the_index_is_what_the_next_commit_would_take_and_not_what_lies_in_the_folder(repository: Path) -> None:
    (repository / "config.py").write_text(f"token = '{GITHUB}'\n")
    assert in_index(repository) == []
    git(repository, "add", "config.py")
    (repository / "config.py").write_text("token = ''\n")
    assert in_index(repository) == [Leak("GitHub Token", "config.py", 1)]
    git(repository, "add", "config.py")
    assert in_index(repository) == []


def test_the_index_is_searched_for_changed_and_renamed_files_and_from_any_folder(repository: Path) -> None:
    (repository / "deep").mkdir()
    (repository / "clean.py").rename(repository / "deep/a b.py")
    with (repository / "deep/a b.py").open("a") as file:
        file.write(GITHUB)
    git(repository, "add", "-A")
    found = [Leak("GitHub Token", "deep/a b.py", 6)]
    assert in_index(repository) == found
    assert in_index(repository / "deep") == found


def test_a_file_that_the_next_commit_deletes_is_not_searched(repository: Path) -> None:
    (repository / "key.txt").write_text(GITHUB)
    commit(repository)
    git(repository, "rm", "-q", "key.txt")
    assert in_index(repository) == []


def test_what_was_deleted_is_still_in_the_history_with_the_commit_that_added_it(repository: Path) -> None:
    (repository / "deep").mkdir()
    (repository / "deep/été 森.txt").write_text(f"1\n2\n{GITHUB}\n")
    added = commit(repository, "the secret")
    (repository / "deep/été 森.txt").unlink()
    commit(repository, "gone")
    assert in_tree(repository) == []
    (leak,) = in_history(repository)
    assert leak == Leak("GitHub Token", "deep/été 森.txt", 3, added)
    assert str(leak) == f"GitHub Token in deep/été 森.txt, line 3, commit {added[:10]}"


def test_the_history_tells_the_line_also_in_the_middle_of_a_file(repository: Path) -> None:
    lines = (repository / "clean.py").read_text().splitlines()
    lines[1:1] = ["++ looks like the head of a file", "-- and so does this", "@@ and this"]
    lines[6:6] = [GITHUB]
    (repository / "clean.py").write_text("\n".join(lines))
    added = commit(repository)
    assert in_history(repository) == [Leak("GitHub Token", "clean.py", 7, added)]


def test_the_history_of_every_branch_counts(repository: Path) -> None:
    git(repository, "checkout", "-qb", "other")
    (repository / "key.txt").write_text(GITHUB)
    added = commit(repository)
    git(repository, "checkout", "-q", "main")
    assert in_tree(repository) == []
    assert [leak.commit for leak in in_history(repository)] == [added]


def test_what_came_with_a_merge_alone_is_found_in_it(repository: Path) -> None:
    git(repository, "checkout", "-qb", "other")
    (repository / "clean.py").write_text("theirs\n")
    commit(repository)
    git(repository, "checkout", "-q", "main")
    (repository / "clean.py").write_text("ours\n")
    commit(repository)
    with pytest.raises(subprocess.CalledProcessError):
        git(repository, "merge", "other")
    (repository / "clean.py").write_text(f"ours\ntheirs\n{GITHUB}\n")
    merged = commit(repository, "merged")
    assert in_history(repository) == [Leak("GitHub Token", "clean.py", 3, merged)]


def test_the_history_does_not_depend_on_how_somebody_has_git_show_it(repository: Path) -> None:
    (repository / "key.txt").write_text(f"\n{GITHUB}")
    added = commit(repository)
    settings = {"diff.noprefix": "true", "color.ui": "always", "diff.mnemonicPrefix": "true", "diff.context": "9"}
    for name, value in settings.items():
        git(repository, "config", name, value)
    assert in_history(repository) == [Leak("GitHub Token", "key.txt", 2, added)]


def test_outside_git_there_is_nothing_to_search_and_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for search in (in_tree, in_index):
        with pytest.raises(HarnessError, match="cannot be searched"):
            search(tmp_path)


def test_without_git_itself_that_is_told(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    with pytest.raises(HarnessError, match="git cannot be run"):
        in_tree(repository)


def test_a_name_that_looks_like_two_lines_hides_nothing(repository: Path) -> None:
    (repository / "odd\u2028name.txt").write_text("x")
    commit(repository)
    (repository / "key.txt").write_text(GITHUB)
    commit(repository)
    (repository / "key.txt").unlink()
    commit(repository)
    assert [leak.path for leak in in_history(repository)] == ["key.txt"]


def test_every_stash_is_searched(repository: Path) -> None:
    for text in (GITHUB, "nothing"):
        (repository / "clean.py").write_text(text)
        git(repository, "-c", "user.name=a", "-c", "user.email=a@b.org", "stash")
    assert [leak.path for leak in in_history(repository)] == ["clean.py"]


def test_a_submodule_is_no_file(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    git(other, "init", "-q")
    (other / "a").write_text("a")
    commit(other)
    git(repository, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "sub")
    assert in_index(repository) == []
    commit(repository)
    assert (in_tree(repository), in_history(repository)) == ([], [])


def test_the_whole_repository_is_searched_from_wherever_one_stands(repository: Path) -> None:
    (repository / "deep").mkdir()
    (repository / "key.txt").write_text(GITHUB)
    git(repository, "config", "diff.relative", "true")
    git(repository, "add", "-A")
    assert [leak.path for leak in in_index(repository / "deep")] == ["key.txt"]
    assert [leak.path for leak in in_tree(repository / "deep")] == ["key.txt"]
