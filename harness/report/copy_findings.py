"""The findings about copies on the first screen: the number of sets, and their effect on an accuracy."""

from __future__ import annotations

from harness.report.finding import CopyGroup, Finding, State, sides_of
from harness.report.texts import count
from harness.runs.data_check_record import CopySet, DataCheckRecord
from harness.util.text import few


def copy_findings(record: DataCheckRecord) -> list[Finding]:
    """Returns one finding for each `CopyGroup`. A set that belongs to several groups is counted in each of them."""
    sides = sides_of(record)
    others = few([name for side, name in sides if side != "train"]) or "test"
    several = {side for side, _ in sides} > {"train"}
    titles = {
        CopyGroup.CONTRADICTION: "The same image in several classes",
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
        sets = [each for each in record.copies if _belongs(each, group)]
        cut = record.more_copies > 0 and _rank(group) >= last
        if sets or cut:
            lines.append(_copies(record, group, titles[group], sets, cut))
        elif why_not[group]:
            lines.append(Finding(group.value, titles[group], State.UNKNOWN, "", f"not checked: {why_not[group]}"))
        else:
            lines.append(Finding(group.value, titles[group], State.CLEAR, "", "nothing found"))
    return [*lines, _scenes(record)]


def _scenes(record: DataCheckRecord) -> Finding:
    """The finding about images that show the same scene without being copies."""
    section, title = CopyGroup.SCENE.value, "Possibly the same scene"
    if not record.scenes:
        checked = record.features and not any("of the same scene" in note for note in record.notes)
        text = "nothing found" if checked else "not checked: there are no features that distinguish scenes"
        return Finding(section, title, State.CLEAR if checked else State.UNKNOWN, "", text)
    images = sum(each.size for each in record.scenes)
    across = sum(each.between_sides or each.between_folds for each in record.scenes)
    text = f"{count(len(record.scenes), 'set')} of {count(images, 'image')} to check"
    text += f", {across:,} of them across splits or folds" if across else ""
    return Finding(section, title, State.FOUND, f"{len(record.scenes):,}", text)


def _copies(record: DataCheckRecord, group: CopyGroup, title: str, sets: list[CopySet], cut: bool) -> Finding:
    """The finding about a group with sets. `cut`: the list is incomplete, so the group may have more."""
    if not sets:
        text = f"not known: {count(record.more_copies, 'more set')} of copies are not listed"
        return Finding(group.value, title, State.UNKNOWN, "", text)
    least = "at least " if record.is_cut else ""
    parts = [f"{least}{count(len(sets), 'set')} of copies, {count(sum(each.size for each in sets), 'image')}"]
    if group is CopyGroup.CONTRADICTION:
        parts.append("a model cannot learn both labels")
    if group is CopyGroup.SIDES:
        shares = [_share_copied(record, side, name) for side, name in sides_of(record) if side != "train"]
        if any(shares):
            parts.append(" and ".join(text for text in shares if text) + ": an accuracy on them is too good")
    if group is CopyGroup.FOLDS:
        parts.append("a fold is evaluated on copies of its training images")
    if group is CopyGroup.OTHER:
        parts.append("they count the same image several times")
    above = sum(CopyGroup.of(each) is not group for each in sets)
    if above:
        parts.append(f"{above:,} of these sets {'is' if above == 1 else 'are'} listed further up")
    if cut:
        parts.append(f"{count(record.more_copies, 'more set')} not listed")
    state = State.FOUND if group is CopyGroup.OTHER else State.BAD
    return Finding(group.value, title, state, f"{len(sets):,}{'+' if cut else ''}", "; ".join(parts))


def _share_copied(record: DataCheckRecord, side: str, name: str) -> str:
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
