"""Keys, tokens and passwords in git. Each secret is assembled while the test runs, so that no file contains one."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.doctor.leaks import LARGEST, Leak, in_history, in_index, in_text, in_tree
from harness.errors import HarnessError
from tests.conftest import git

ROOT = Path(__file__).parents[2]
GITHUB = "ghp_" + "a1B2" * 9
PASSWORD = "S3c" + "r3t99"
HEX32, HEX40 = "0a1b" * 8, "0a1b" * 10
MIXED20, MIXED40, BECH32 = "a1B2" * 5, "a1B2" * 10, "QPZ9" * 15


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


JWT = ".".join(encoded(json.dumps(part)).rstrip("=") for part in ({"alg": "HS256"}, {"sub": "me"})) + "." + MIXED40
BY_DETECT_SECRETS = {
    "Artifactory Credentials": f"AKCp8{MIXED40}",
    "AWS Access Key": "AKIA" + "ABCD" * 4,
    "Azure Storage Account access key": "AccountKey=" + "a1B2" * 22,
    "Basic Auth Credentials": f"postgresql://user:{PASSWORD}@db.host/x",
    "Discord Bot Token": "M" + "a1B2" * 6 + "." + "a1B2c3" + "." + "a1B" * 9,
    "GitHub Token": GITHUB,
    "GitLab Token": f"glpat-{MIXED20}",
    "JSON Web Token": JWT,
    "Mailchimp Access Key": f"{HEX32}-us12",
    "OpenAI Token": f"sk-{MIXED20}T3Blbk" + f"FJ{MIXED20}",
    "PyPI Token": "pypi-AgEIcHlwaS5v" + "cmc" + "a1B2" * 20,
    "SendGrid API Key": "SG." + "a1" * 11 + "." + "b2" * 21 + "c",
    "Slack Token": "xoxb" + "-123456-" + "abcdef",
    "Square OAuth Secret": "sq0csp-" + MIXED40 + "abc",
    "Stripe Access Key": "sk_" + "live_" + "a1B2" * 6,
    "Telegram Bot Token": "123456789:" + "a1B2_" * 7,
    "Twilio API Key": f"AC{HEX32}",
}
BY_OUR_PATTERNS = {
    "Anthropic token": "sk-" + "ant-api03-" + "a1B2_" * 20,
    "age secret key": "AGE-SECRET-" + f"KEY-1{BECH32[:58]}",
    "Azure shared access signature": f"https://x.blob.core.windows.net/c?sv=2020-08-04&sig={MIXED40}abc%3D",
    "Basic Auth in base64": "Basic " + encoded("me:" + PASSWORD[:6]),
    "Bearer token": f"Bearer {MIXED40}",
    "Databricks token": f"dapi{HEX32}-2",
    "GitHub token": "github_pat_" + "a1" * 11 + "_" + "b2" * 29 + "c",
    "Google API key": "AIza" + "Sy0_-" * 7,
    "Google OAuth client secret": "GOCSPX-" + "a1B2" * 7,
    "Google OAuth token": "ya29." + "a0_-" * 8,
    "Google service account key": '"private_key_id" : "' + HEX40 + '"',
    "Hugging Face token": "hf_" + "aB" * 17,
    "Private Key": "-----BEGIN " + "RSA PRIVATE KEY-----",
    "SSH2 or PuTTY key": "PuTTY-User-" + "Key-File-3: ssh-ed25519",
    "Weights & Biases key": f"wandb_v1_{MIXED40}",
    "key in base64": encoded("-----BEGIN " + "PRIVATE KEY-----" + "MIIEvQ" * 20),
    "token of a service": f"nvapi-{MIXED40}{MIXED20}abcd",
}
# The file's name, and a line with a secret after its name; the links are reports of tools that missed such a secret
ASSIGNED = [
    ("a.py", f'password = "{PASSWORD}"'),
    ("a.py", f"db_passwd='{PASSWORD}'"),
    ("a.py", f'client_secret: str = "{PASSWORD}"'),
    ("a.py", f'token = b"{MIXED20}"'),
    ("a.py", f'password = "!{PASSWORD}"'),
    ("a.py", "password = '" + "correct" + "horse'"),
    ("a.py", f'create_engine(host="h", password="{PASSWORD}", port=port())'),
    ("a.py", f'os.environ["MLFLOW_TRACKING_PASSWORD"] = "{PASSWORD}"'),
    ("a.py", f'os.environ.setdefault("WANDB_API_KEY", "{HEX40}")'),
    ("a.py", f'Roboflow(api_key="{MIXED20}")'),
    ("a.py", f'Experiment(api_key=SecretStr("{MIXED20}"))'),
    ("a.py", f'neptune.init_run(api_token="{encoded(json.dumps({"api_address": "https://app.neptune.ai"}))}")'),
    ("a.py", f'f("https://detect.roboflow.com/model/1?api_key={MIXED20}")'),
    ("a.py", f"password='{MIXED20}%'"),  # gitleaks/gitleaks#1833
    ("a.cs", 'String s = "Data Source=x;User ID=me;Pass' + 'word=svcacctpass;";'),  # Yelp/detect-secrets#699
    ("a.ipynb", f'    "token = \\"{MIXED40}\\"\\n",'),  # trufflesecurity/trufflehog#643
    ("a.ipynb", f'    "%env WANDB_API_KEY={HEX40}\\n",'),
    ("a.yml", f"password: {PASSWORD}"),
    ("a.yml", f"  PASSWORD: dY^5{PASSWORD}"),  # Yelp/detect-secrets#458
    ("a.yml", f"  ANODOT_TOKEN: {HEX32}"),  # the same
    ("a.yml", f'WANDB_API_KEY: "{HEX40}"'),
    ("a.yml", f"- POSTGRES_PASSWORD={PASSWORD}"),
    ("a.yml", "pass" + "word: Nil1Jiifoov6Oodieb6ahF5ihohboht3gehookGeeM6Yamiek2wol3cath7We7aa"),  # betterleaks#261
    ("a.json", '{"loginId":"admin","pass' + 'word":"GitHub!23"}'),  # gitleaks/gitleaks#1999
    ("a.json", f'{{"name": "me", "password": "{PASSWORD}"}}'),
    ("a.toml", f'api_key = "{MIXED20}"'),
    ("a.ini", f"secret_key = {PASSWORD}"),
    ("a.conf", f"sasl_password={MIXED20}/+p4"),  # gitleaks/gitleaks#1336
    (".env", f"COMET_API_KEY={MIXED20}"),
    (".env.local", f"export DB_PASSWORD={PASSWORD}"),
    (".pypirc", "pass" + f"word = 8ThyF#1*@96%dYt!{PASSWORD}"),  # gitleaks/gitleaks#1958
    (".npmrc", f"//registry.npmjs.org/:_authToken=npm_{MIXED40[:36]}"),
    (".npmrc", "//registry.npmjs.org/:_authToken=3f2504e0-4f89-11d3-" + "9a0c-0305e82c3301"),
    ("a.sh", f"export WANDB_API_KEY={HEX40}"),
    ("a.sh", f"KAGGLE_KEY='{HEX32}' python train.py"),
    ("README.md", f"    export WANDB_API_KEY={HEX40}"),
    ("Dockerfile", f"ENV MLFLOW_TRACKING_TOKEN={HEX40}"),
    ("credentials", f"aws_secret_access_key = {MIXED40}"),
    ("README", f"aws_secret_access_key = {MIXED40}"),
    ("a.py", f'ibm_api_key = "{MIXED40}abcd"'),
    ("a.py", f'cloudant_password = "{HEX32}{HEX32}"'),
]
INNOCENT = [
    ("a.py", "password = None"),
    ("a.py", 'PASSWORD = "password"'),
    ("a.py", 'password = "changeme"; secret = "***"; token = "xxxxxxxxxxxx"'),
    ("a.py", "token = self.token"),
    ("a.py", "secret = settings.secret_key_2"),
    ("a.py", 'password = os.environ["DB_PASSWORD"]'),
    ("a.py", 'password = getpass("Password: ")'),
    ("a.py", "def login(user: str, password: str, token: str | None = None) -> None:"),
    ("a.py", 'f(key="name", pad_token="<pad_0123>", tokenizer="bert-base-uncased-2")'),
    ("a.py", 'API_KEY_HEADER = "X-API-Key-2"; SECRET_ID = "db-password-2024-b"'),
    ("a.py", 'audio_token = "<|audio_1|>"; message_start_token: str = "<|im_start|>"'),  # mick-gsk/drift#166
    ("a.py", "INPUT_TOKENS_ABOVE_1HR = 'input_tokens_above_1hr'"),
    ("a.py", 'parser.add_argument("--password", help="the password of user 1")'),
    ("a.py", 'columns = ["password", "email2", "token"]'),
    ("a.py", "from votenet.ap_helper import APCalculator50"),
    ("a.py", 'TOKEN = "ab12cd34" * 9'),
    ("a.py", 'f"postgresql://{user}:{password}@{host}/x", "mysql://%s:%s@%s/x"'),
    ("a.py", f'commit = "{HEX40}"; checksum = "{HEX40}"; "key": "{HEX40}"'),
    ("a.py", f'password_hash = "{HEX40}"; token_md5: "{HEX32}"'),
    ("a.md", "postgresql://user:password@host/db, https://user:pw@host, https://USER:PASSWORD@host"),
    ("a.md", f"https://me:{PASSWORD}@example.org/x"),
    ("a.md", "The username/password combination is a secret: keep it. A token: a word, as a rule."),
    ("a.md", "machine learning: a login and a password. machine HOST login USER password PASSWORD"),
    ("a.md", "AKIAIOSFODNN7" + "EXAMPLE, wandb login [key], http://localhost:8888/?token=TOKEN"),
    ("a.md", f"[![ci](https://img.shields.io/circleci/build/github/a/b?token={HEX40})](https://circleci.com)"),
    ("a.sh", "export TOKEN=$(cat token.txt) PASSWORD=$1 SECRET=${SECRET}"),
    ("a.sh", "git remote set-url origin https://me2:$GITHUB_TOKEN@github.com/x"),  # boostsecurityio/bagel#43
    ("a.yml", "password: ${{ secrets.PASSWORD }}"),
    ("a.yml", "secrets: inherit"),
    ("a.yml", "password: !vault |"),
    ("a.yml", "api_key: your-api-key-here-123"),
    ("a.yml", "password: see chapter 12 of the manual"),
    ("a.yml", "POSTGRES_PASSWORD: postgres"),
    ("a.yml", "      - MONGO_PASSWORD_FILE=/run/secrets/db_username1"),  # Yelp/detect-secrets#266
    ("a.yml", f"image: docker://nvcr.io/nvidia:24.01-py3@sha256:{HEX40}"),
    ("a.js", "db: { password: '*******' }, path: { password: '/parameters/store_1/key' }"),  # Yelp/detect-secrets#426
    ("a.js", "x = {service_key: pagerDuty2ServiceApiKey, event_type: 'trigger'}"),  # Yelp/detect-secrets#430
    ("sudoers", "%wheel ALL=(ALL) NOPASSWD: ALL"),  # Yelp/detect-secrets#265
    (".env.example", "WANDB_API_KEY=your_wandb_api_key_here1"),
    (".env.example", "HF_TOKEN=hf_" + "x" * 34),
    ("Dockerfile", 'RUN echo "machine h login ${GH_USER} password ${GH_TOKEN}" > .netrc'),  # mongodb/kingfisher#188
    ("a.txt", "a0d694967460:785cabcc-e500-e2f4-e9f0-06a5104d3f11"),  # squirrelscan/squirrelscan#357
    ("a.ini", "password = %(password)s"),
    ("a.ini", "token_uri = https://oauth2.googleapis.com/token"),
    ("uv.lock", f'{{ url = "https://files.pythonhosted.org/{HEX40}/x.whl", hash = "sha256:{HEX32}{HEX32}" }}'),
    ("data.dvc", f"- md5: {HEX32}.dir"),
    ("a.ipynb", '    "password = getpass.getpass(\\"Password: \\")\\n",'),
    (
        "a.ipynb",
        f'    "image/png": "iVBORw0KGgoAAAANSUhEUgAA{"A" * 5000}{MIXED40 * 50}+/AKIA{"A" * 16}==\\n",',
    ),  # ….#384
    ("vocab.json", '{"password": 9206, "secret": 3595, "##token": 19204, "key12345": 7}'),
    ("a.csv", f"20240101:{HEX40},0.12345678901234567,img_0001.png"),
]


def commit(folder: Path, message: str = "x") -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit of a clean file."""
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "clean.py").write_text("password = input()\n" * 5)
    commit(tmp_path, "clean")
    return tmp_path


@pytest.mark.parametrize(("kind", "secret"), [*BY_DETECT_SECRETS.items(), *BY_OUR_PATTERNS.items()])
def test_in_text_finds_each_kind_of_secret_and_does_not_quote_it(kind: str, secret: str) -> None:
    (leak,) = in_text(f"one\n\nkey = {secret}\n{'a1' * 40}\n", "a/b.txt")
    assert leak == Leak(kind, "a/b.txt", 3)
    assert str(leak) == f"{kind} in a/b.txt, line 3"
    assert secret not in repr(leak)


@pytest.mark.parametrize(("path", "line"), ASSIGNED)
def test_in_text_finds_a_secret_by_the_name_before_it(path: str, line: str) -> None:
    assert in_text(f"one\n{line}\n", path) == [Leak("Secret Keyword", path, 2)]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("AWS Access Key", f'aws_secret_access_key = "{MIXED40}"'),
        ("AWS Access Key", "s3://AKIA" + "ABCD" * 4 + "@bucket"),
        ("Basic Auth Credentials", f"redis://:{PASSWORD}@redis.internal:6379/0"),
        ("Basic Auth Credentials", f"mysql://root:Pa$$w0rd!{PASSWORD}@db/x"),
        ("Basic Auth Credentials", f"https://acc:{HEX32}{HEX32}@acc.cloudant.com"),
        ("OpenAI Token", f"sk-proj-{MIXED20}_-{MIXED20}T3Blbk" + f"FJ{MIXED20}_{MIXED20}"),
        ("Weights & Biases key", f'wandb.login(key="{HEX40}")'),
        ("Weights & Biases key", f"wandb login {HEX40}"),
        (
            "Basic Auth in base64",
            f'{{"auths": {{"https://index.docker.io/v1/": {{"auth": "{encoded("me:" + PASSWORD)}"}}}}}}',
        ),
        ("Basic Auth in code", f'requests.get(url, auth=("me", "{PASSWORD}"))'),  # gitleaks/gitleaks#1070
        ("Kaggle API key", f'{{"username":"me","key":"{HEX32}"}}'),
        ("Kaggle API key", f'{{"username": "me",\n "key": "{HEX32}"\n}}'),
        ("password in .netrc", f"machine h login me password {PASSWORD}"),
        ("password in .netrc", f"machine api.wandb.ai\n  login user\n  password {HEX40}"),
        ("password in .pgpass", f"db.host:5432:mlflow:me:{PASSWORD}"),
        ("age secret key", "AGE-SECRET-" + f"KEY-PQ-1{BECH32}"),
        ("age secret key", "AGE-PLUGIN-" + f"YUBIKEY-1{BECH32[:20]}"),
    ],
)
def test_in_text_finds_other_spellings_of_each_kind(kind: str, text: str) -> None:
    assert in_text(text, "a.txt") == [Leak(kind, "a.txt", 1)]


@pytest.mark.parametrize(("path", "line"), INNOCENT)
def test_in_text_ignores_placeholders_references_digests_and_prose(path: str, line: str) -> None:
    assert in_text(line, path) == []


def test_in_text_ignores_a_line_with_an_allowlist_comment() -> None:
    line = f'password = "{PASSWORD}"'
    assert in_text(f"{line}  # pragma: allowlist secret", "a.py") == []
    assert in_text(f"# pragma: allowlist nextline secret\n{line}\n{line}", "a.py") == [
        Leak("Secret Keyword", "a.py", 3)
    ]


def test_in_text_finds_both_parts_of_a_service_accounts_key() -> None:
    text = (
        '{\n  "private_key_id": "'
        + HEX40
        + '",\n  "private_key": "-----BEGIN '
        + 'PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0B"\n}'
    )
    assert [(leak.kind, leak.line) for leak in in_text(text, "key.json")] == [
        ("Google service account key", 2),
        ("Private Key", 3),
    ]


@pytest.mark.parametrize("prefix", ["# ", "// ", "> ", "    ", "\\t"])
def test_in_text_finds_a_key_that_is_commented_out_or_quoted(prefix: str) -> None:
    lines = ["-----BEGIN " + "PRIVATE KEY-----", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"]
    assert [leak.kind for leak in in_text("\n".join(prefix + line for line in lines), "a")] == ["Private Key"]


@pytest.mark.parametrize("begin", ["", "x", "xy"])
def test_in_text_finds_a_service_accounts_key_at_each_base64_offset(begin: str) -> None:
    text = base64.b64encode(
        begin.encode() + b'{"type": "service_' + b'account", "project_id": "p"}' + b"x" * 200
    ).decode()
    assert [leak.kind for leak in in_text(text, "a")] == ["key in base64"]


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN " + "PRIVATE KEY-----" + "\\n" * 5000 + " x",
        "-----BEGIN " + "PRIVATE KEY-----" + "\\\\n" * 5000 + " x",
        "-----BEGIN " + "PRIVATE KEY-----" + "// \\" * 5000 + " x",
        'f("//a/b");' * 100_000,
        "QUJD/+" * 500_000,
        "a=" * 2_500_000,
        "a=\n" * 1_700_000,
        "x" * 5_000_000,
        "eyJ" * 1_700_000,
        "password = 1;" * 100_000,
    ],
    ids=["escapes", "double escapes", "comments", "minified", "base64", "one line", "lines", "word", "eyJ", "names"],
)
def test_in_text_ends_for_any_text(text: str) -> None:
    began = time.monotonic()
    assert in_text(text, "a") == []
    assert time.monotonic() - began < 30  # it takes a few seconds; a pattern with quadratic time would take hours


def test_in_text_ignores_words_and_hashes() -> None:
    text = """
    md5: d751713988987e9331980363e24189ce.dir
    commit 9e20f803e459760768f1248b06ab3dc84f3b389d
    password = os.environ["PASSWORD"]; token = "changeme"; "private_key_id": "..."
    iVBORw0KGgoAAAANSUhEUgAAAKIAABCDEFGHABCDEFGH/AKIAABCDEFGHABCDEFGH+x
    export GDRIVE_CREDENTIALS_DATA="$(cat key.json)"   ghp_short   AIzaShort   hf_hub_download
    """
    assert in_text(text, "a") == []


@pytest.mark.parametrize("search", [in_tree, in_history])
def test_search_finds_no_secret_in_this_project(search: Callable[[Path], list[Leak]]) -> None:
    if subprocess.run(["git", "-C", str(ROOT), "rev-parse"], capture_output=True, check=False).returncode:
        pytest.skip("this is not a git repository, or another user's")
    assert search(ROOT) == []


def test_search_finds_nothing_in_a_clean_repository(repository: Path) -> None:
    assert (in_tree(repository), in_index(repository), in_history(repository)) == ([], [], [])


def test_search_finds_nothing_in_a_repository_without_commits(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert (in_tree(tmp_path), in_index(tmp_path), in_history(tmp_path)) == ([], [], [])


def test_in_tree_searches_tracked_and_new_files(repository: Path) -> None:
    (repository / "deep").mkdir()
    (repository / "deep/été.txt").write_text(f"\n{GITHUB}\n")
    assert in_tree(repository) == [Leak("GitHub Token", "deep/été.txt", 2)]
    commit(repository)
    assert in_tree(repository) == [Leak("GitHub Token", "deep/été.txt", 2)]
    (repository / "deep/été.txt").unlink()
    assert in_tree(repository) == []


def test_in_tree_does_not_search_ignored_files(repository: Path) -> None:
    (repository / ".gitignore").write_text("*.json\n")
    (repository / "key.json").write_text(GITHUB)
    assert in_tree(repository) == []


def test_in_tree_skips_only_very_large_files(repository: Path) -> None:
    secret = GITHUB.encode()
    (repository / "large.txt").write_bytes(b"\n" * LARGEST + secret)
    assert in_tree(repository) == []
    (repository / "image.bin").write_bytes(b"\x89PNG\0" + secret)
    (repository / "latin.txt").write_bytes(b"\xe9t\xe9 " + secret)
    (repository / "windows.txt").write_bytes(f"token {GITHUB}".encode("utf-16"))
    git(repository, "add", "-A")
    for leaks in (in_tree(repository), in_index(repository)):
        assert [leak.path for leak in leaks] == ["image.bin", "latin.txt", "windows.txt"]


def test_in_tree_searches_files_with_unusual_names_and_attributes(repository: Path) -> None:
    (repository / ".gitattributes").write_text("*.txt -diff\n")
    (repository / "0:key.txt").write_text(GITHUB)
    git(repository, "add", "-A")
    assert [leak.path for leak in in_index(repository)] == ["0:key.txt"]
    git(repository, "-c", "log.showRoot=false", "commit", "-qm", "x")
    git(repository, "config", "log.showRoot", "false")
    assert [leak.path for leak in in_history(repository)] == ["0:key.txt"]


def test_in_text_accepts_code_that_contains_only_the_first_line_of_a_key() -> None:
    head = "-----BEGIN " + "PRIVATE KEY-----"
    assert in_text(f'if text.startswith("{head}"):\n    return\n', "a.py") == []
    body = "MIIEvQIBADANBgkqhkiG9w0BAQEF"
    for text in (f"{head}\n{body}", f'"{head}\\n{body}"', f"{head.replace('PRIVATE', 'RSA PRIVATE')}\r\n{body}"):
        assert [leak.kind for leak in in_text(text, "key")] == ["Private Key"]


def test_in_tree_does_not_follow_links(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "key.txt"
    outside.write_text(GITHUB)
    (repository / "link").symlink_to(outside)
    (repository / "broken").symlink_to(repository / "nowhere")
    assert in_tree(repository) == []


def test_in_index_searches_the_next_commit_and_not_the_working_tree(repository: Path) -> None:
    (repository / "config.py").write_text(f"token = '{GITHUB}'\n")
    assert in_index(repository) == []
    git(repository, "add", "config.py")
    (repository / "config.py").write_text("token = ''\n")
    assert in_index(repository) == [Leak("GitHub Token", "config.py", 1)]
    git(repository, "add", "config.py")
    assert in_index(repository) == []


def test_in_index_searches_changed_and_renamed_files_from_any_folder(repository: Path) -> None:
    (repository / "deep").mkdir()
    (repository / "clean.py").rename(repository / "deep/a b.py")
    with (repository / "deep/a b.py").open("a") as file:
        file.write(GITHUB)
    git(repository, "add", "-A")
    leaks = [Leak("GitHub Token", "deep/a b.py", 6)]
    assert in_index(repository) == leaks
    assert in_index(repository / "deep") == leaks


def test_in_index_does_not_search_deleted_files(repository: Path) -> None:
    (repository / "key.txt").write_text(GITHUB)
    commit(repository)
    git(repository, "rm", "-q", "key.txt")
    assert in_index(repository) == []


def test_in_history_finds_a_deleted_secret_and_the_commit_that_added_it(repository: Path) -> None:
    (repository / "deep").mkdir()
    (repository / "deep/été 森.txt").write_text(f"1\n2\n{GITHUB}\n")
    added = commit(repository, "the secret")
    (repository / "deep/été 森.txt").unlink()
    commit(repository, "gone")
    assert in_tree(repository) == []
    (leak,) = in_history(repository)
    assert leak == Leak("GitHub Token", "deep/été 森.txt", 3, added)
    assert str(leak) == f"GitHub Token in deep/été 森.txt, line 3, commit {added[:10]}"


def test_in_history_gives_the_line_in_the_middle_of_a_file(repository: Path) -> None:
    lines = (repository / "clean.py").read_text().splitlines()
    lines[1:1] = ["++ looks like the head of a file", "-- and so does this", "@@ and this"]
    lines[6:6] = [GITHUB]
    (repository / "clean.py").write_text("\n".join(lines))
    added = commit(repository)
    assert in_history(repository) == [Leak("GitHub Token", "clean.py", 7, added)]


def test_in_history_searches_all_branches(repository: Path) -> None:
    git(repository, "checkout", "-qb", "other")
    (repository / "key.txt").write_text(GITHUB)
    added = commit(repository)
    git(repository, "checkout", "-q", "main")
    assert in_tree(repository) == []
    assert [leak.commit for leak in in_history(repository)] == [added]


def test_in_history_finds_a_secret_that_a_merge_added(repository: Path) -> None:
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


def test_in_history_ignores_the_users_git_settings(repository: Path) -> None:
    (repository / "key.txt").write_text(f"\n{GITHUB}")
    added = commit(repository)
    settings = {"diff.noprefix": "true", "color.ui": "always", "diff.mnemonicPrefix": "true", "diff.context": "9"}
    for name, value in settings.items():
        git(repository, "config", name, value)
    assert in_history(repository) == [Leak("GitHub Token", "key.txt", 2, added)]


def test_search_raises_outside_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for search in (in_tree, in_index):
        with pytest.raises(HarnessError, match="cannot be searched"):
            search(tmp_path)


def test_search_raises_if_git_is_not_installed(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    with pytest.raises(HarnessError, match="git cannot be run"):
        in_tree(repository)


def test_search_handles_a_file_name_with_a_line_break(repository: Path) -> None:
    (repository / "odd\u2028name.txt").write_text("x")
    commit(repository)
    (repository / "key.txt").write_text(GITHUB)
    commit(repository)
    (repository / "key.txt").unlink()
    commit(repository)
    assert [leak.path for leak in in_history(repository)] == ["key.txt"]


def test_in_history_searches_all_stashes(repository: Path) -> None:
    for text in (GITHUB, "nothing"):
        (repository / "clean.py").write_text(text)
        git(repository, "-c", "user.name=a", "-c", "user.email=a@b.org", "stash")
    assert [leak.path for leak in in_history(repository)] == ["clean.py"]


def test_search_ignores_submodules(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    git(other, "init", "-q")
    (other / "a").write_text("a")
    commit(other)
    git(repository, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "sub")
    assert in_index(repository) == []
    commit(repository)
    assert (in_tree(repository), in_history(repository)) == ([], [])


def test_search_covers_the_whole_repository_from_a_subfolder(repository: Path) -> None:
    (repository / "deep").mkdir()
    (repository / "key.txt").write_text(GITHUB)
    git(repository, "config", "diff.relative", "true")
    git(repository, "add", "-A")
    assert [leak.path for leak in in_index(repository / "deep")] == ["key.txt"]
    assert [leak.path for leak in in_tree(repository / "deep")] == ["key.txt"]
