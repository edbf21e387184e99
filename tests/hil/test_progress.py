import io

from wattbench.hil.progress import PlainProgress, RichProgress, shown, simulated, speed


def test_lines_without_a_terminal() -> None:
    stream = io.StringIO()
    with shown(stream) as progress:
        assert isinstance(progress, PlainProgress)
        progress.note("log.csv: 10 rows")
        progress.start("site · pi · seed 1", 3_600_000_000)
        progress.update(1_000_000)
        progress.finish("completed", None)
    note, line = stream.getvalue().splitlines()
    assert note == "log.csv: 10 rows"
    assert line.startswith("site · pi · seed 1: completed, 1:00:00 simulated, ")
    assert line.endswith("× real time")


def test_run_that_was_cut_short_says_how_far_it_came() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.start("run", 3_600_000_000)
    progress.update(61_000_000)
    progress.finish("aborted", None)
    assert stream.getvalue().startswith("run: aborted, 0:01:01 simulated")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bar_on_a_terminal() -> None:
    stream = Terminal()
    with shown(stream) as progress:
        assert isinstance(progress, RichProgress)
        progress.note("[note]")
        progress.start("run", 10_000_000)
        progress.update(5_000_000)
        progress.finish("completed", None)
    assert "[note]" in stream.getvalue()
    assert "run: completed, 0:00:10 simulated" in stream.getvalue()


def test_numbers_in_words() -> None:
    assert simulated(3_723_000_000) == "1:02:03"
    assert speed(86_400_000_000, 4.0) == "21 600 × real time"
    assert speed(2_000_000, 2.0) == "1.0 × real time"
