"""Patterns of keys, tokens and passwords in text.

`detect-secrets` knows most kinds. The patterns below are for kinds that it does not know. A finding is a line and a
kind, and never the secret. A line that ends in `# pragma: allowlist secret` is ignored.
"""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from typing import Any

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.filters import allowlist, heuristic
from detect_secrets.plugins import keyword
from detect_secrets.plugins.jwt import JwtTokenDetector
from detect_secrets.util.code_snippet import get_code_snippet
from detect_secrets.util.filetype import determine_file_type

# "Private Key" reports code that names a key's header; an IP is not a secret; KeywordDetector finds the others faster
LEFT_OUT = re.compile("Private Key|Public IP|Cloudant|IBM|NPM|SoftLayer")
WHOLE = {  # required before and after a match, because these patterns also match inside base64, a hash or a word
    "Artifactory Credentials": (r"(?!A)(?=\W?A(?:[A-Za-z]{0,40}\d){3})", ""),
    "AWS Access Key": (r"(?<![A-Za-z0-9+/])|(?<=//)", r"(?![A-Za-z0-9+/=])"),
    "Telegram Bot Token": ("", r"(?![\w\-])"),
}
OURS = {  # kinds that detect-secrets misses
    "Google API key": r"\bAIza[\w\-]{35}(?![\w\-])",
    "Google OAuth client secret": r"\bGOCSPX-[\w\-]{28}(?![\w\-])",
    "Google OAuth token": r"\bya29\.[\w\-]{20}|1//0(?<![\w/.\-]1//0)[\w\-]{40}",
    "Google service account key": r"""["']private_key_id["']\s*:\s*["'][0-9a-f]{40}""",  # an id after its name
    "key in base64": (  # "-----BEGIN PRIVATE KEY", also RSA and OPENSSH; "service_account" at each offset
        r"LS0tLS1CRUdJTiB(?:QUklWQVRFIEtFWS|SU0EgUFJJVkFURSBLRV|PUEVOU1NIIFBSSVZBVEUgS0VZ)[A-Za-z0-9+/]{40}"
        r"|(?:c2VydmljZV9hY2NvdW50|zZXJ2aWNlX2FjY291bn|NlcnZpY2VfYWNjb3Vud)[A-Za-z0-9+/]{100}"
    ),
    "SSH2 or PuTTY key": r"-{4} BEGIN SSH2 ENCRYPTED PRIVATE KEY|PuTTY-User-Key-File-[23]:",
    "GitHub token": r"\bgithub_pat_[0-9A-Za-z]{22}_[0-9A-Za-z]{59}\b",
    "OpenAI Token": r"\bsk-[a-z]{4,9}-[\w\-]{20,200}T3BlbkFJ[\w\-]{20}",  # its own detector expects no "_"
    "Anthropic token": r"\bsk-ant-[a-z0-9]+-[\w\-]{80}",
    "Hugging Face token": r"\b(?:hf|api_org)_[0-9A-Za-z]{34}\b",
    "Weights & Biases key": r"\bwandb_v1_\w{40}|\bwandb[ .]login\b.{0,80}?\b[0-9a-f]{40}\b",
    "Databricks token": r"\bdapi[0-9a-f]{32}(?:-\d)?\b",
    "token of a service": r"\b(?:dckr_pat_[\w\-]{27}|gsk_\w{50}|lsv2_[a-z]{2}_\w{32}|nvapi-[\w\-]{60}|r8_\w{37})",
    "age secret key": r"\bAGE-(?:SECRET-KEY-(?:PQ-)?1[02-9AC-HJ-NP-Z]{50}|PLUGIN-[\w+.\-]{1,40}-1[02-9AC-HJ-NP-Z]{10})",
    "Azure shared access signature": r"[?&;]sig=[A-Za-z0-9%+/]{40}",
    # BasicAuthDetector misses addresses without a user (Redis), and passwords with one of "!$&()*+="
    "Basic Auth Credentials": r"://(?:|[^\s:/?#@\"'<>]{1,80}(?=:[^\s@]{0,99}[!$&()*+=])):[^\s:/?#@\"'<>,;]{1,200}@",
    "Basic Auth in base64": r"(?:auth[\"']?\s*[:=]\s*[\"']?|\b[Bb]asic[ :]+)((?:[A-Za-z0-9+/]{4}){2,99})",
    "Bearer token": r"\b[Bb]earer +(?!eyJ)(?=\S*[a-z])(?=\S*[A-Z])(?=\S*\d)[\w~+/\-]{20}",
}
SEVERAL_LINES = {  # kinds that detect-secrets misses because it reads single lines; a group is the password
    "Private Key": (  # header and body
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
        r"(?:(?:Proc-Type|DEK-Info|Version|Comment|Charset|Hash): ?[^\n]*|[\s\"'+,\\#>*;]|//)*[A-Za-z0-9+/=]{20}"
    ),
    "Kaggle API key": r'"username"\s*:\s*"[^"\s]{1,80}"\s*,\s*"key"\s*:\s*"[0-9a-f]{32}"',
    "password in .netrc": r"machine\s+\S{1,99}\s+(?:(?:login|account)\s+\S{1,99}\s+){1,2}password\s+([^\s\"']{6,99})",
    "Basic Auth in code": r"auth\s?=\s?\(\s{0,99}[\"'][^\"'\n]+[\"'],\s{0,99}[\"'](?=[^\"']*\d)([^\"'\s]{6,99})[\"']",
    "password in .pgpass": r"(?m)^[\w.*\-]+:(?:\d{4,5}|\*):[\w.*$\-]+:[\w.\-]+:(?=\S*\d)(\S{6,200})$",
}
NAME = re.compile(  # names of secrets: those of KeywordDetector, and others
    "(?i)" + "|".join(keyword.DENYLIST).replace("_?", "[_-]?") + r"|token|passphrase|(?:access|kaggle)[_-]?key"
    r"|(?:user|root|admin|mail|smtp|ftp|pg|mysql|postgres|redis)_?pass(?![a-z])"
)
STEMS = "contrase|key|pass|pwd|secret|token"
STEMS = f"{STEMS}|{STEMS.title()}|{STEMS.upper()}"
ASSIGNED = re.compile(rf"(?:{STEMS})\w{{0,60}}(?!\w)(?=[\"'\]]{{0,2}}\s{{0,9}}[!=:,(])")  # end of a name
OTHER_NAME = re.compile(  # names that are not of secrets: digests, places, texts, and a language model's tokens
    r"(?i)hash(?!i)|digest|md5|sha\d|checksum|fingerprint|public|tokeni[sz]|(?:next|page|pad|[be]os|unk|mask|cls|sep)_?tok"
    r"|(?:name|file|path|dir|folder|field|label|env|var|variable|url|uri|endpoint|arn|ref|type|policy|prompt|help|hint|space"
    r"|format|length|size|count|pattern|regex|column|message|error|title|description|header|param|version|fix|[^s]s)$"
)
SPELLINGS = (  # rewrite assignments that KeywordDetector misses to a form that it finds
    (re.compile(r"^[\"']?\s*[,(]\s*(?=[\"'])"), "=="),  # setenv("TOKEN", "…"), SecretStr("…")
    (re.compile(r"^([\"'\]]{0,2})\s*:\s*[\w.\[\], |]{1,60}=(?=\s*\w{0,2}[\"'])"), r"\1="),  # password: str = "…"
    (re.compile(r"^([\"'\]]{0,2}\s*[:=]\s*)[bru]{0,2}([\"'])[!#%&*+@^~\-]*(?=\w)"), r"\1\2"),  # b"…", "!…"
)
VALUE = re.compile(r"[\"'\]]{0,2}[^\w\"'`]{0,20}(?:[\"'`][^\"'`]{0,400}[\"'`]|[^\"'`]{0,100})")  # after a name
# places where a value without quotes is a literal: some files, a shell command, an address
PLAIN_FILE = re.compile(r"(?:^|[/.])env(?:rc)?(?:\.|$)|\.(?:sh|bash|zsh)$|rc$|(?:^|/)credentials$")
PLAIN = re.compile(r"(?:\b(?:export|env|ENV|set)|%env|-e|--env|--build-arg) +[\"']?$|[?&;]$")
BLANK = re.compile(r"[xX]{5}|EXAMPLE|\*{3}|\.{3}|…")
PLACEHOLDER = re.compile(  # placeholders and paths
    r"(?i)\s|[<>]|\{\w*\}|\$[{(]|\W\$\d|^\$|%[sd]\b|%\(|0123456789|1234567890|^[~.]*/|^[\w+]+:/"
    r"|^(?:change|test(?:ing)?|dummy|fake|mock|sample|insert|enter|replace|todo|foo|bar|none|null|true|false|default"
    r"|undefined|required|optional|hidden|string|admin|postgres|minioadmin)(?![a-z])"
    r"|(?:^|[\W_])(?:your\w*|example|placeholder|change_?me|redacted)(?:$|[\W_])|\.(?:json|txt|ya?ml|pem|key|env|py)$"
    r"|^(?:[a-z]+[-_./ ])*(?:my|the|db|user|super|root|new|old|some|another|api|access)?"
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|key|credentials?)(?:[-_./ ][a-z]+)*[-_]?\d{0,4}$"
)
RANDOM = re.compile(r"[0-9a-f]{32,}|(?=.*[a-z])(?=.*[A-Z])(?=.*\d.*\d)[\w+/=~\-]{20,}")
HUMAN = re.compile(r"(?i)passw|passphrase|contrase|.pwd|pass$")  # chosen by a person: may be letters only
NOWHERE = re.compile(  # reserved hosts (RFC 2606), users of examples, and image:tag@sha256:…
    r"[^@]*@(?:(?:[\w-]+\.)*(?:example(?:\.(?:com|net|org))?|test|invalid)(?![\w.-])|sha256:)|(?:me|\w)@[\w-]*(?![\w.-])"
)
POSSIBLE = re.compile(r"[A-Za-z_+/=\-][\w+/=\-]{15}|[\w+/=\-]{15}[A-Za-z]|://|[Aa]uth|[Bb]asic|BEGIN")  # in a match
FILTERS = (heuristic.is_sequential_string, heuristic.is_templated_secret, heuristic.is_not_alphanumeric_string)
KNOWN: dict[str, Any] = get_mapping_from_secret_type_to_class()
DETECTORS = {kind: detector for kind, detector in KNOWN.items() if not LEFT_OUT.match(kind)}
PATTERNS = [(kind, re.compile(pattern)) for kind, pattern in OURS.items()]
PATTERNS += [(kind, pattern) for kind, detector in DETECTORS.items() for pattern in getattr(detector, "denylist", ())]
KEYWORDS, PLAIN_SHAPES = keyword.KeywordDetector(), keyword.CONFIG_DENYLIST_REGEX_TO_GROUP
PIECE, OVERLAP = 8192, 2048  # characters; long lines are split, because some patterns take quadratic time


def secrets_in(text: str, path: str) -> list[tuple[int, str]]:
    """Returns (line, kind) of each secret in the text of the file `path`, at most one of each kind per line."""
    text = re.sub(r"\\{1,4}([\"'])", r"\1", re.sub(r"\\{1,4}[nrt]", " ", text))  # a notebook is JSON
    lines = text.split("\n")
    shapes = keyword.REGEX_BY_FILETYPE.get(determine_file_type(path), {})
    plain, code = shapes is PLAIN_SHAPES or bool(not shapes and PLAIN_FILE.search(path)), bool(shapes)
    secrets = {
        (number, kind)
        for number, line in enumerate(lines, start=1)
        for start in range(0, len(line) or 1, PIECE - OVERLAP)
        for kind in _kinds(line[start : start + PIECE], plain, code)
    }
    for kind, pattern in SEVERAL_LINES.items():
        starts = [match.start() for match in re.finditer(pattern, text) if _is_secret(kind, match)]
        secrets |= {(text.count("\n", 0, start) + 1, kind) for start in starts}
    known = {number for number, kind in secrets if kind != KEYWORDS.secret_type}  # found by a more specific pattern
    secrets -= {(number, KEYWORDS.secret_type) for number in known}
    return [
        (number, kind)
        for number, kind in sorted(secrets)
        if not allowlist.is_line_allowlisted(path, lines[number - 1], get_code_snippet(lines, number))
    ]


@lru_cache(maxsize=1 << 15)  # most lines of a history occur many times
def _kinds(line: str, plain: bool, code: bool) -> set[str]:
    """The kinds of secret in a line. A value without quotes is a literal in a `plain` file, a reference in `code`."""
    patterns = PATTERNS if POSSIBLE.search(line) else []
    kinds = {kind for kind, pattern in patterns for match in pattern.finditer(line) if _is_secret(kind, match)}
    if any(_is_assigned(line, end, plain, code) for end in ASSIGNED.finditer(line, 0, PIECE - 500)):
        kinds.add(KEYWORDS.secret_type)
    return kinds


def _is_secret(kind: str, match: re.Match[str]) -> bool:
    """Whether a match is valid and not a placeholder."""
    text = match.group()
    if kind in SEVERAL_LINES:
        return not match.re.groups or _is_password(match.group(1))
    if kind == "Basic Auth Credentials":
        user, _, password = text[3:-1].partition(":")
        host = match.string[match.end() : match.end() + 100]
        word = user == password or re.fullmatch("[a-z]{,6}|[A-Z]{,6}", password)
        return not word and not NOWHERE.match(f"{user}@{host}") and _is_password(password)
    if kind == "Basic Auth in base64":
        text = base64.b64decode(match.group(1)).decode("ascii", "replace")
        return text.isascii() and text.isprintable() and _is_password(text.partition(":")[2])
    valid = kind != JwtTokenDetector.secret_type or JwtTokenDetector.is_formally_valid(text)
    around = zip(WHOLE.get(kind, ()), match.span(), strict=False)
    return valid and not BLANK.search(text) and all(re.compile(p).match(match.string, at) for p, at in around)


def _is_assigned(line: str, end: re.Match[str], plain: bool, code: bool) -> bool:
    """Whether a secret is assigned to the name that ends at `end`."""
    before, rest = line[max(0, end.start() - 99) : end.start()], line[end.end() : end.end() + 500]
    head = re.sub(r"[\w\-]*$", "", before)
    name = before[len(head) :] + end.group()
    label = head.endswith(" ") and re.match("[\"']", rest)  # "the name of a token": "…"
    if label or not NAME.search(name) or OTHER_NAME.search(name) or re.search(r"(?:badge|shields\.io)\S*$", head):
        return False
    for pattern, text in SPELLINGS:
        rest = pattern.sub(text, rest)
    values = KEYWORDS.analyze_string("secret" + next(VALUE.finditer(rest)).group(), PLAIN_SHAPES)
    return any(
        _is_value(name, head, rest.partition(value)[0], rest[rest.find(value) :], plain, code)
        and not heuristic.is_likely_id_string(value, f"{name}={value}")
        for value in values
    )


def _is_value(name: str, head: str, lead: str, text: str, plain: bool, code: bool) -> bool:
    """Whether `text` begins with a secret; the line is "head name lead text"."""
    quoted = lead.endswith(("'", '"', "`"))
    value = re.split(r"[\"'`]" if quoted else r"[\s\"'`\\]|[&;](?=\w+\s*=)|[,;)}\]]+(?:\s|$)", text)[0]
    if value.lower() == name.lower() or not _is_password(value):
        return False
    after, human = text[len(value) :], HUMAN.search(name)
    prose = ":" in lead and re.match(r"\s+[^#\s]", after)
    if re.match(r".\s*\*", after) if quoted else prose or heuristic.is_indirect_reference(f"x={text[:99]}"):
        return False  # a repeated text; prose; a call
    literal = plain or PLAIN.search(head) or (not code and lead == "=" and not head.strip())
    if lead.startswith("==") or not (quoted or literal):
        return bool(RANDOM.fullmatch(value))
    if human and ((quoted and "=" in lead) or head.endswith(("?", "&", ";"))):
        return True
    return bool(re.search(r"[\d!@#$^&*+?~]" if human else r"\d", value)) and (human is not None or len(value) >= 8)


def _is_password(value: str) -> bool:
    """Whether a value is long enough, and neither a placeholder nor a path."""
    if len(value) < 6 or len(set(value)) < 4 or BLANK.search(value) or any(is_other(value) for is_other in FILTERS):
        return False
    return bool(RANDOM.fullmatch(value)) or not PLACEHOLDER.search(value)
