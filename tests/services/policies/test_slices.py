"""Accepted mail by the moment it left, until its deadline."""

from services.policies import slices
from services.policies.slices import Slice


def test_mail_of_the_same_two_seconds_is_one_slice() -> None:
    kept = slices.accepted((), 5, 100.5)
    kept = slices.accepted(kept, 3, 101.9)
    kept = slices.accepted(kept, 2, 102.0)
    assert kept == (Slice(100.0, 100.5, 8), Slice(102.0, 102.0, 2))


def test_an_event_may_be_quicker_than_our_own_record() -> None:
    kept = slices.answered((), [100.5, 100.7])
    kept = slices.accepted(kept, 3, 100.5)
    assert kept == (Slice(100.0, 100.5, 3, 2),)
    assert kept[0].silent == 1


def test_more_events_than_messages_are_no_silence_and_nothing_else() -> None:
    (kept,) = slices.answered(slices.accepted((), 1, 100.0), [100.0] * 3)
    assert kept.silent == 0


def test_what_is_written_late_finds_its_place() -> None:
    kept: tuple[Slice, ...] = ()
    for at in (104.0, 100.0, 102.0, 103.0):
        kept = slices.accepted(kept, 1, at)
    assert [(one.start, one.total) for one in kept] == [(100.0, 1), (102.0, 2), (104.0, 1)]


def test_a_slice_is_due_when_its_last_message_is() -> None:
    kept = slices.accepted(slices.accepted((), 1, 100.0), 1, 102.0)
    assert slices.due(kept, 161.9, 60.0) == ([], kept)
    assert slices.due(kept, 162.0, 60.0) == ([kept[0]], (kept[1],))


def test_mail_from_before_the_clock_was_set_back_waits_for_nothing() -> None:
    assert slices.due(slices.accepted((), 1, 9_000.0), 100.0, 60.0) == ([], ())
