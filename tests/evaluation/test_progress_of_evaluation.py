"""What an evaluation says while it runs, at a terminal and elsewhere."""

import io

from msvi.evaluation import progress


class Terminal(io.StringIO):
    """A stream that is looked at."""

    def isatty(self):
        return True


def test_plain_lines(monkeypatch, capsys):
    """Where nobody looks lines go to stdout, about trajectories no more than one in a while."""
    told = progress.Progress()
    told.begin("reading")
    assert tuple(capsys.readouterr()) == ("", "")  # it may be refused yet
    told.say("fitting")
    with told.counting(3):
        told.ended()
        monkeypatch.setattr(progress, "_SECONDS", -1)
        told.ended()
    assert tuple(capsys.readouterr()) == ("reading\nfitting\n2 of 3 trajectories are done\n", "")


def test_a_bar(monkeypatch, capsys):
    """At a terminal a bar and the lines are on stderr, stdout is the table alone; the bar is gone at the end."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    told = progress.Progress()
    told.begin("reading")
    assert terminal.getvalue() == "reading\n"
    with told.counting(2):
        told.ended()
        told.say("half of it")
        told.ended()
    told.say("drawing")
    text = terminal.getvalue()
    assert text.startswith("reading\n") and text.endswith("drawing\n") and "half of it\n" in text and "0/2" in text
    assert capsys.readouterr().out == ""
