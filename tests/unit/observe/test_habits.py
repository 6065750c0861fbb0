from dbproxy.observe.habits import IDLE_US, LOOP, SAMPLED, SAMPLES, Habits


def test_loop_is_counted_once_a_transaction():
    habits = Habits()
    for times in range(1, LOOP + 6):
        habits.note_loop(times)
    assert (habits.loops, habits.longest_loop, habits.describe()) == (1, LOOP + 5, ["loop"])


def test_short_loops_are_none():
    habits = Habits()
    habits.note_loop(LOOP - 1)
    assert habits.describe() == []


def test_many_texts():
    habits = Habits()
    for number in range(2 * SAMPLES):
        habits.note_text(number)
    assert (habits.texts, habits.describe()) == (2 * SAMPLES * SAMPLED, ["many_texts"])


def test_few_texts_are_not_many():
    habits = Habits()
    for number in range(100 * SAMPLES):
        habits.note_text(number % 20)
    assert (habits.texts, habits.describe()) == (0, [])


def test_thinking_is_not_idling():
    habits = Habits()
    habits.note_idle(IDLE_US - 1)
    assert habits.describe() == []
    habits.note_idle(IDLE_US)
    assert (habits.describe(), habits.idle_count, habits.longest_idle_us) == (
        ["idle_in_transaction"],
        2,
        IDLE_US,
    )


def test_lone_read():
    habits = Habits()
    habits.note_lone_read()
    assert habits.describe() == ["lone_read"]
