"""The lines of the first screen about copies: which sets there are, and what they do to a result."""

from __future__ import annotations

from harness.report.finding import CopyGroup, Finding, State, sides_of
from harness.report.texts import count
from harness.runs.data_check_record import CopySet, DataCheckRecord
from harness.util.text import few


def copy_findings(record: DataCheckRecord) -> list[Finding]:
    """One line for each `CopyGroup`. A set of copies that belongs to several is counted in each, but shown once."""
    sides = sides_of(record)
    others = few([name for side, name in sides if side != "train"]) or "test"
    several = {side for side, _ in sides} > {"train"}
    titles = {
        CopyGroup.CONTRADICTION: "The same picture in several classes",
        CopyGroup.SIDES: f"Copies between training and {others} images",
        CopyGroup.FOLDS: "Copies in different folds",
        CopyGroup.OTHER: "Other copies",
    }
    why_not = {
        CopyGroup.CONTRADICTION: "" if len(_classes(record)) > 1 else "there is only one class",
        CopyGroup.SIDES: "" if several else "only one set of images was checked",
        CopyGroup.FOLDS: "" if record.folds else "these images are not divided into folds",
        CopyGroup.OTHER: "",
    }
    last = max((_rank(CopyGroup.of(each)) for each in record.copies), default=0)
    lines = []
    for group in titles:
        found = [each for each in record.copies if _belongs(each, group)]
        cut = record.more_copies > 0 and _rank(group) >= last
        if found or cut:
            lines.append(_copies(record, group, titles[group], found, cut))
        elif why_not[group]:
            lines.append(Finding(group.value, titles[group], State.UNKNOWN, "", f"not looked for: {why_not[group]}"))
        else:
            lines.append(Finding(group.value, titles[group], State.CLEAR, "", "nothing found"))
    return [*lines, _scenes(record)]


def _scenes(record: DataCheckRecord) -> Finding:
    """The line of images that show the same scene and are no copies."""
    section, title = CopyGroup.SCENE.value, "Perhaps the same scene"
    if not record.scenes:
        looked = record.features and not any("of the same scene" in note for note in record.notes)
        text = "nothing found" if looked else "not looked for: there are no features that tell scenes apart"
        return Finding(section, title, State.CLEAR if looked else State.UNKNOWN, "", text)
    images = sum(each.size for each in record.scenes)
    across = sum(each.between_sides or each.between_folds for each in record.scenes)
    text = f"{count(len(record.scenes), 'set')} of {count(images, 'image')} to look at"
    text += f", {across:,} of them in training and among the images that judge" if across else ""
    return Finding(section, title, State.FOUND, f"{len(record.scenes):,}", text)


def _copies(record: DataCheckRecord, group: CopyGroup, title: str, found: list[CopySet], cut: bool) -> Finding:
    """The line of a group that has sets, or may have some: `cut` is whether the list may lack a few."""
    if not found:
        text = f"not known: {count(record.more_copies, 'more set')} of copies did not fit the list"
        return Finding(group.value, title, State.UNKNOWN, "", text)
    least = "at least " if record.is_cut else ""
    parts = [f"{least}{count(len(found), 'set')} of copies, {count(sum(each.size for each in found), 'image')}"]
    if group is CopyGroup.CONTRADICTION:
        parts.append("a model cannot learn both labels")
    if group is CopyGroup.SIDES:
        judged = [_share_judged(record, side, name) for side, name in sides_of(record) if side != "train"]
        if any(judged):
            parts.append(" and ".join(text for text in judged if text) + ": an accuracy on them is too good")
    if group is CopyGroup.FOLDS:
        parts.append("a fold is judged by copies of what it was trained on")
    if group is CopyGroup.OTHER:
        parts.append("they count the same picture several times")
    above = sum(CopyGroup.of(each) is not group for each in found)
    if above:
        parts.append(f"{above:,} of these sets {'is' if above == 1 else 'are'} listed further up")
    if cut:
        parts.append(f"{count(record.more_copies, 'more set')} did not fit the list")
    state = State.FOUND if group is CopyGroup.OTHER else State.BAD
    return Finding(group.value, title, state, f"{len(found):,}{'+' if cut else ''}", "; ".join(parts))


def _share_judged(record: DataCheckRecord, side: str, name: str) -> str:
    """`12 of 360 test images have a copy among the training images`; empty if none has one."""
    total = sum(record.counts.get(side, {}).values())
    copied = record.copied.get(side, 0)
    if not copied:
        return ""
    verb = "has" if copied == 1 else "have"
    return f"{copied:,} of {total:,} {name} images {verb} a copy among the training images"


def _belongs(found: CopySet, group: CopyGroup) -> bool:
    if group is CopyGroup.CONTRADICTION:
        return found.is_contradiction
    if group is CopyGroup.SIDES:
        return found.between_sides
    return found.between_folds if group is CopyGroup.FOLDS else CopyGroup.of(found) is CopyGroup.OTHER


def _rank(group: CopyGroup) -> int:
    return list(CopyGroup).index(group)


def _classes(record: DataCheckRecord) -> set[str]:
    return {name for classes in record.counts.values() for name in classes}
