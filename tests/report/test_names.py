"""Names and units as a file gives them, or what stands for them."""

from msvi.report.names import PLAIN, Name, Names, names_of_channels


def test_a_name_with_and_without_a_unit():
    assert (Name("x", "m").label, Name("x").label) == ("x [m]", "x")
    assert (Name("z", "m").at(0.51239), Name("t").at(12.0)) == ("z = 0.512 m", "t = 12")


def test_names_of_a_file():
    """A channel's own unit counts before that of the whole field; bare numbers have none; dates are left out."""
    attributes = {
        "time": {"units": "hours since 1900-01-01 00:00:00"},
        "lon": {"units": "degrees_east"},
        "lat": {"long_name": "latitude"},
        "p": {"units": "Pa"},
        "q": {"units": "1"},
        "u": {"units": "m s-1"},
    }
    first, second = names_of_channels(("lon", "lat"), ("p", "q"), attributes, 2)
    assert first == Names(Name("time", "hours"), (Name("lon", "degrees_east"), Name("lat")), Name("p", "Pa"))
    assert second.field == Name("q", "m s-1")


def test_without_labels():
    """One channel is u, up to three are a velocity, more are numbered."""
    assert names_of_channels(("x", "y", "z"), (), {}, 1) == [PLAIN]
    assert [own.field.text for own in names_of_channels(("x",), (), {}, 3)] == ["u", "v", "w"]
    assert [own.field.text for own in names_of_channels(("x",), (), {}, 4)] == [f"channel {i}" for i in range(4)]
    assert names_of_channels(("x",), (), {"u": {"units": "K"}}, 1)[0].field == Name("u", "K")
