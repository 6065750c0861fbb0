from dbproxy.jobs.batch.histogram import choose_places, list_parts

HUNDRED = [str(number) for number in range(101)]


def test_bounds_that_divide_all_into_equal_parts_are_chosen():
    assert choose_places(HUNDRED, 4) == ["25", "50", "75"]
    assert choose_places(HUNDRED, 1) == []


def test_table_without_enough_statistics_is_one_part():
    assert choose_places([], 4) == []
    assert choose_places(["1", "2"], 4) == []


def test_parts_follow_each_other_to_the_last_place():
    assert list_parts([("25",), ("50",)], ("99",)) == [
        (None, ("25",)),
        (("25",), ("50",)),
        (("50",), ("99",)),
    ]


def test_places_that_are_the_same_make_one_part():
    assert list_parts([("25",), ("25",), ("99",)], ("99",)) == [(None, ("25",)), (("25",), ("99",))]
    assert list_parts([], ("99",)) == [(None, ("99",))]
