from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from pathlib import Path

import click
import pytest
from tqdm import tqdm

from harness.util.console_log import WINDOW, ConsoleLog, Screen, add_output, copied_output, keep_output_in


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(folder: Path, name: str = "console.log") -> list[str]:
    """Without the first line, which has the time."""
    return (folder / name).read_text(encoding="utf-8").splitlines()[1:]


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("a\nb\n", ["a", "b", ""]),
        ("10 %\r20 %\r100 %\n", ["100 %", ""]),
        ("long text\rab", ["abng text"]),
        ("long text\r\x1b[Kab\n", ["ab", ""]),
        ("long\r\x1b[2Kab\n", ["ab", ""]),
        ("\x1b[31mred\x1b[0m\n", ["red", ""]),
        ("\x1b]8;;http://a.example\x07link\x1b]8;;\x07\n", ["link", ""]),
        ("first\nsecond\x1b[A\rFIRST\x1b[B\rSECOND\n", ["FIRST", "SECOND", ""]),
        ("one\ntwo\nthree\x1b[2A\r\x1b[Jnew", ["new"]),
        ("abc\b\bX\n", ["aXc", ""]),
        ("windows\r\nlines\r\n", ["windows", "lines", ""]),
        ("bell\x07\n", ["bell", ""]),
        ("\x1b[10Atop\n", ["top", ""]),
    ],
)
def test_screen_shows_what_a_terminal_would_show(printed: str, shown: list[str]) -> None:
    for pieces in ([printed], [*printed] if "\x1b" not in printed else [printed]):
        screen = Screen()
        for piece in pieces:
            screen.feed(piece)
        assert screen.lines == shown


def test_console_log_keeps_what_was_printed_before_its_folder_was_known(tmp_path: Path) -> None:
    with copied_output("harness run x"):
        print("before")
        keep_output_in(tmp_path)
        print("after", file=sys.stderr)
        click.echo("by click")
        add_output("by the file descriptor\n")
    print("later")
    assert lines(tmp_path) == ["before", "after", "by click", "by the file descriptor"]
    assert (tmp_path / "console.log").read_text().split("\n")[0].endswith("  harness run x")


def test_console_log_has_each_line_at_once(tmp_path: Path) -> None:
    with contextlib.closing(ConsoleLog("harness run x")) as log:
        log.keep_in(tmp_path)
        for number in range(3 * WINDOW):
            log.add(f"line {number}\n")
            assert lines(tmp_path)[-1] == f"line {number}"
    assert lines(tmp_path) == [f"line {number}" for number in range(3 * WINDOW)]


def test_console_log_has_one_line_per_progress_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with copied_output("harness run x"):
        keep_output_in(tmp_path)
        with tqdm(total=1000, desc="kept", mininterval=0, file=sys.stderr) as outer:
            for step in range(1000):
                if step % 250 == 0:
                    tqdm.write(f"step {step}", file=sys.stderr)
                outer.update()
        for _ in tqdm(range(100), desc="erased", mininterval=0, leave=False, file=sys.stderr):
            pass
        inner = [tqdm(total=9, desc=name, position=row, mininterval=0) for row, name in enumerate("ab")]
        for bar in inner * 9:
            bar.update()
        inner[1].close()
        inner[0].close()
        print("end", file=sys.stderr)
    text = (tmp_path / "console.log").read_text()
    assert lines(tmp_path)[:4] == ["step 0", "step 250", "step 500", "step 750"]
    assert lines(tmp_path)[4].startswith("kept: 100%")
    assert [text.count(name) for name in ("kept", "a: ", "b: ", "\x1b", "\r")] == [1, 1, 1, 0, 0]
    assert len(lines(tmp_path)) < 10


def test_console_log_appends_with_a_dated_line(tmp_path: Path) -> None:
    for command in ("harness run x", "harness resume y"):
        with copied_output(command):
            keep_output_in(tmp_path)
            print(f"printed by {command}")
    first, printed, empty, second, again = (tmp_path / "console.log").read_text().splitlines()
    assert (first[:4], first[-13:], printed) == ("# 20", "harness run x", "printed by harness run x")
    assert (empty, second[:4], second[-16:]) == ("", "# 20", "harness resume y")
    assert again == "printed by harness resume y"


def test_console_log_has_one_line_for_a_command_of_several_lines(tmp_path: Path) -> None:
    with copied_output("harness run x --out 'a\nb\x1b[2K'"):
        keep_output_in(tmp_path)
        print("printed")
    first, printed = (tmp_path / "console.log").read_text().splitlines()
    assert first.endswith(r"  harness run x --out 'a\x0ab\x1b[2K'")
    assert printed == "printed"


def test_console_log_costs_a_warning_if_it_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with copied_output("harness run x"):
        keep_output_in(tmp_path / "missing")
        print("one")
        print("two")
    captured = capsys.readouterr()
    assert captured.out == "one\ntwo\n"
    assert captured.err.count("warning: console.log is not complete: No such file") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_console_log_on_a_full_disk_costs_one_warning(capsys: pytest.CaptureFixture[str]) -> None:
    log = ConsoleLog("harness run x")
    log.keep_in(Path("/dev"), "full")
    log.add("one\n")
    warning = "warning: console.log is not complete: No space left on device; the command continues\n"
    assert capsys.readouterr().err == warning


@pytest.mark.skipif(sys.platform == "win32", reason="links need a permission there")
def test_console_log_does_not_follow_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("somebody's")
    (tmp_path / "console.log").symlink_to(tmp_path / "target")
    with copied_output("harness run x"):
        keep_output_in(tmp_path)
        print("one")
    assert (tmp_path / "target").read_text() == "somebody's"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_console_log_of_a_forked_process_is_left_alone(tmp_path: Path) -> None:
    with contextlib.closing(ConsoleLog("harness run x")) as log:
        log.keep_in(tmp_path)
        child = os.fork()
        if not child:
            log.add("of the child\n")
            os._exit(0)
        os.waitpid(child, 0)
        log.add("of the parent\n")
    assert lines(tmp_path) == ["of the parent"]


def test_console_log_of_a_worker_has_a_file_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_WORKER", "2")
    with copied_output("harness search x --worker"):
        keep_output_in(tmp_path)
        print("one")
    assert lines(tmp_path, "console-worker-2.log") == ["one"]


def test_copied_output_reaches_a_stream_without_utf_8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """click prints on the bytes of such a stream."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    with copied_output("harness run x"):
        keep_output_in(tmp_path)
        click.echo("größer")
    assert stream.buffer.getvalue().decode() == "größer\n"  # type: ignore[attr-defined]
    assert lines(tmp_path) == ["größer"]


def test_copied_output_keeps_what_other_libraries_ask_of_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress bars ask for isatty, faulthandler for fileno; logging keeps the stream after the command's end."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    with copied_output("harness run x"):
        stream = sys.stderr
        assert stream.isatty()
        assert sys.stdout.encoding
        stream.writelines(["a", "b"])
    print("after the end", file=stream)
    assert sys.stderr.getvalue() == "abafter the end\n"  # type: ignore[attr-defined]


def test_copied_output_of_calls_that_overlap_in_threads_is_apart(tmp_path: Path) -> None:
    stdout, stderr = sys.stdout, sys.stderr
    turns = [threading.Event() for _ in range(4)]

    def call(name: str, own: threading.Event, other: threading.Event, end: threading.Event) -> None:
        (tmp_path / name).mkdir()
        with copied_output(name):
            own.set()
            assert other.wait(10)
            keep_output_in(tmp_path / name)
            sys.stdout.write(f"printed by {name}\n")  # whole lines, because print writes two parts
            helper = threading.Thread(target=lambda: sys.stdout.write("printed by a thread of a call\n"))
            helper.start()
            helper.join()
            if name == "second":  # it ends after the first, although it began after it
                assert end.wait(10)
                sys.stdout.write(f"still {name}\n")
            else:
                assert turns[3].wait(10)
        end.set()

    first = threading.Thread(target=call, args=["first", turns[0], turns[1], turns[2]])
    second = threading.Thread(target=call, args=["second", turns[1], turns[0], turns[2]])
    first.start()
    assert turns[0].wait(10)
    second.start()
    turns[3].set()
    first.join(20)
    second.join(20)
    assert (sys.stdout, sys.stderr) == (stdout, stderr)
    own = {name: [line for line in lines(tmp_path / name) if "thread" not in line] for name in ("first", "second")}
    assert own == {"first": ["printed by first"], "second": ["printed by second", "still second"]}


def test_copied_output_within_another_is_in_both(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    with copied_output("outer"):
        keep_output_in(tmp_path)
        print("before")
        with copied_output("inner"):
            keep_output_in(tmp_path / "inner")
            print("within")
        print("after")
    assert lines(tmp_path) == ["before", "within", "after"]
    assert lines(tmp_path / "inner") == ["within"]
