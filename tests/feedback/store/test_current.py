"""What counts now, as a function of the events. `tasks/test_queue_rules.py` asks the database the same."""

from hypothesis import given
from hypothesis import strategies as st

from preceptor.feedback.store.current import Event, current


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Events of which each may supersede an earlier one that none has superseded yet."""
    events: list[Event] = []
    free: list[int] = []
    for number in range(1, draw(st.integers(1, 12)) + 1):
        supersedes = draw(st.sampled_from([None, *free]))
        kinds = ["ranking", "withdrawal"] if supersedes is not None else ["ranking", "skip"]
        event = Event(number, draw(st.sampled_from(kinds)), supersedes)
        free = [one for one in free if one != supersedes] + ([number] if event.kind != "withdrawal" else [])
        events.append(event)
    return events


@given(histories())
def test_each_chain_counts_by_its_last_event_unless_that_withdraws(events: list[Event]) -> None:
    counted = []
    for last in (event for event in events if event.supersedes is None):
        while (later := next((one for one in events if one.supersedes == last.id), None)) is not None:
            last = later
        if last.kind != "withdrawal":
            counted.append(last)
    assert current(events) == sorted(counted, key=lambda event: event.id)


@given(histories(), st.permutations(range(12)))
def test_the_order_in_which_events_are_read_does_not_matter(events: list[Event], order: list[int]) -> None:
    shuffled = [events[place] for place in order if place < len(events)]
    assert current(shuffled) == current(events)
