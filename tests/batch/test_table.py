"""The job table: what it may look like, and what is said of one that is wrong."""

import pytest

from talkface_core.batch.job import checked_output
from talkface_core.batch.table import read_table
from talkface_core.errors import InputError


@pytest.fixture
def table(tmp_path):
    def write(content, encoding="utf-8"):
        path = tmp_path / "jobs.csv"
        path.write_bytes(content.encode(encoding) if isinstance(content, str) else content)
        return path

    return write


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_cells_become_words(table, encoding):
    rows = read_table(
        table(
            "System,inputs,options,output\r\n"
            'speak,höher.wav,"--pose keys.json --start 1.5",a/b.mp4\r\n'
            "\r\n"
            ' dub ,C:\\films\\a b.mp4; x.wav ,"--model ""my model.safetensors"" --face 1,2"\r\n',
            encoding,
        )
    )
    assert [row.line for row in rows] == [2, 4]
    assert (rows[0].system, rows[0].inputs, rows[0].output) == ("speak", ("höher.wav",), "a/b.mp4")
    assert rows[0].options == ("--pose", "keys.json", "--start", "1.5")
    assert (rows[1].system, rows[1].inputs, rows[1].output) == ("dub", ("C:\\films\\a b.mp4", "x.wav"), "")
    assert rows[1].options == ("--model", "my model.safetensors", "--face", "1,2")


def test_backslashes_and_quotes_of_options(table):
    (row,) = read_table(table("system,inputs,options\ndub,a;b,\"--model 'C:\\my models\\x' --face 1\"\n"))
    assert row.options == ("--model", "C:\\my models\\x", "--face", "1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no column 'system'"),
        (b"system;inputs;options\n", "no column 'system'"),
        (b"system,inputs,colour\n", "column 'colour' too many"),
        (b"system,inputs,inputs\n", "column 'inputs' too many"),
        (b"system,inputs\nspeak,a,b\n", "line 2: 3 cells for 2 columns"),
        (b'system,inputs\nspeak,"a\n', "close every quote"),
        (b"system,inputs,options\nspeak,a,--model 'x\n", "line 2: options"),
        (b"system,inputs\nspeak,h\xf6her.wav\n", "not UTF-8"),
    ],
)
def test_a_wrong_table_is_told(table, content, message):
    with pytest.raises(InputError) as told:
        read_table(table(content))
    assert message in str(told.value)
    assert "jobs.csv" in str(told.value)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_table(tmp_path / "none.csv")


@pytest.mark.parametrize(("name", "clean"), [("a.mp4", "a.mp4"), ("a\\b.mp4", "a/b.mp4"), ("./a//b.mp4", "a/b.mp4")])
def test_outputs_below_the_folder(name, clean):
    assert checked_output(name) == clean


@pytest.mark.parametrize(
    "name",
    [
        *("../a.mp4", "a/../../b.mp4", "/a.mp4", "\\a.mp4", "C:\\a.mp4", "C:a.mp4", "~/a.mp4", "", ".", ".batch/a.mp4"),
        *("a/.b.mp4", "a\n.mp4", "a?.mp4", "a. /b.mp4", "a.mp4."),
    ],
)
def test_outputs_outside_are_refused(name):
    with pytest.raises(InputError):
        checked_output(name)
