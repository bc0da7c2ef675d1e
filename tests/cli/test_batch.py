"""`batch` as a program: rows are checked before anything begins, done jobs stay done, ends in the middle are whole."""

import csv
import json
import signal
import sys
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest

from talkface_core.batch.table import Row
from talkface_core.cli.job_parts import parted
from talkface_core.cli.jobs import make_job, make_row_parser


@pytest.fixture
def batch(talkface, tmp_path):
    """batch(rows, *flags): the run on a table of these rows, its outputs in out/."""

    def run(rows, *flags):
        table(tmp_path, rows)
        return talkface("batch", tmp_path / "jobs.csv", "-o", tmp_path / "out", "--device", "cpu", *flags)

    return run


def table(folder, rows):
    path = folder / "jobs.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("system", "inputs", "options", "output"), *rows])
    return path


def results(folder):
    with (folder / "out" / "results.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def videos(folder):
    return sorted(path.name for path in (folder / "out").glob("*.mp4"))


def test_jobs_are_done_once_and_failures_are_told(batch, speech, small_checkpoint, tmp_path):
    """The second row's mistake is one that only the model can tell."""
    model = f"--model {small_checkpoint} --steps 1"
    rows = [
        ("speak", "speech.wav", model, "a/one.mp4"),
        ("dae-talker", "speech.wav", f"{model} --sampler none", ""),
        ("speak", "speech.wav", f"{model} --pose -5,0,0 --seed 3", ""),
    ]
    ended = batch(rows, "--workers", "1", "--json")
    assert ended.status == 2
    assert ended.err.splitlines()[-1].startswith("talkface: 1 of 3 jobs failed")
    told = json.loads(ended.out)
    assert told["counts"] == {"done": 2, "failed": 1}
    assert [(job["line"], job["status"], job["attempts"], job["frames"]) for job in told["jobs"]] == [
        *((2, "done", 1, 25), (3, "failed", 1, None), (4, "done", 1, 25)),
    ]
    assert "sampler 'none'" in told["jobs"][1]["error"]
    assert len({job["worker"] for job in told["jobs"]}) == 1
    assert videos(tmp_path) == ["speech-speak.mp4"]
    assert [row["status"] for row in results(tmp_path)] == ["done", "failed", "done"]

    before = (tmp_path / "out" / "a" / "one.mp4").stat().st_mtime_ns
    ended = batch([rows[0], ("dae-talker", "speech.wav", model, ""), rows[2]], "--quiet", "--workers", "1")
    assert (ended.status, ended.out, ended.err) == (0, "", "")
    assert [row["status"] for row in results(tmp_path)] == ["skipped", "done", "skipped"]
    assert (tmp_path / "out" / "a" / "one.mp4").stat().st_mtime_ns == before


def test_a_kept_model_makes_the_same_video(batch, talkface, speech, small_checkpoint, tmp_path):
    model = ("--model", small_checkpoint, "--steps", "1")
    rows = [("speak", "speech.wav", f"--model {small_checkpoint} --steps 1 --seed {k}", f"{k}.mp4") for k in (1, 0)]
    assert batch(rows, "--workers", "1", "--threads", "1", "--quiet").status == 0
    talkface("speak", speech, "-o", tmp_path / "alone.mp4", *model, "--device", "cpu", "--quiet")
    assert frames(tmp_path / "out" / "0.mp4") == pytest.approx(frames(tmp_path / "alone.mp4"), abs=1)
    assert (tmp_path / "out" / "1.mp4").read_bytes() != (tmp_path / "out" / "0.mp4").read_bytes()


def frames(path):
    from talkface_core.media.video_reader import VideoReader

    return np.concatenate(list(VideoReader(path).chunks())).astype(float)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("dance", "speech.wav"), "system 'dance' is unknown"),
        (("speak", ""), "speak takes AUDIO as inputs; 0 given"),
        (("see-the-speaker", "a;b;c"), "takes AUDIO or PICTURE ; AUDIO as inputs; 3 given"),
        (("speak", "none.wav"), "none.wav"),
        (("speak", "speech.wav", "--steps many"), "--steps: invalid int value: 'many'"),
        (("speak", "speech.wav", "--colour red"), "--colour"),
        (("speak", "speech.wav", "--reference none.png"), "none.png"),
        (("speak", "speech.wav", "--model none.safetensors"), "none.safetensors: found no such file"),
        (("speak", "speech.wav", "-o x.mp4"), "give its name in a column output"),
        (("speak", "speech.wav", "--help"), "--help"),
        (("speak", "speech.wav", "", "../x.mp4"), "does not stay below the output folder"),
        (("imagine", "speech.wav", "--portrait /x.png"), "does not stay below the output folder"),
        (("speak", "speech.wav", "", "x.avi"), "ends in .mp4"),
        (("speak", "speech.wav", "", "good.mp4/x.mp4"), "that of line 2 lie one in the other"),
        (("prepare", "speech.wav", "", "results.csv"), "is where the results are written"),
        (("speak", "jobs.csv"), "jobs.csv"),
        (("dub", "speech.wav;speech.wav", "--texture 2"), "speech.wav"),
        (("prepare", "speech.wav", "--size 33"), "33 px"),
        (("prepare", "."), "whose films are asked for"),
        (("evaluate", "speech.wav"), "evaluate takes GENERATED ; REFERENCE"),
        (("evaluate", "speech.wav;speech.wav", "--weights speech.wav"), "speech.wav: found no readable torch file"),
    ],
)
def test_a_wrong_row_stops_all_before_it_begins(batch, speech, small_checkpoint, tmp_path, row, message):
    ended = batch([("speak", "speech.wav", f"--model {small_checkpoint}", "good.mp4"), row])
    assert ended.status == 2
    assert ended.err.startswith("talkface: jobs.csv line 3: ")
    assert ended.err.count("\n") == 1
    assert message in ended.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("link", "made"), [("clips", "clips/new/x.mp4"), ("x.mp4", "x.mp4"), (".batch", "x.mp4")])
def test_a_link_that_leads_out_of_the_folder_is_not_written_through(
    batch, speech, small_checkpoint, tmp_path, link, made
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / link).symlink_to(elsewhere / "own.mp4" if link == "x.mp4" else elsewhere)
    (elsewhere / "own.mp4").write_text("precious")
    ended = batch([("speak", "speech.wav", f"--model {small_checkpoint} --steps 1", made)])
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert "jobs.csv line 2: output " in ended.err
    assert f"would be written to {elsewhere}" in ended.err
    assert [(path.name, path.read_text()) for path in elsewhere.iterdir()] == [("own.mp4", "precious")]


def test_results_are_not_written_through_a_link_either(batch, speech, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.csv").symlink_to(tmp_path / "own.csv")
    ended = batch([("speak", "speech.wav")])
    assert (ended.status, "output 'results.csv' would be written to " in ended.err) == (2, True)
    assert not (tmp_path / "own.csv").exists()


def test_brought_instruments_go_to_each_part(tmp_path):
    for name in ("made/a.mp4", "made/b.mp4", "real/a.mp4", "real/b.mp4", "net.pth"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    parser, weights = make_row_parser(), [str(tmp_path / "net.pth"), "face.onnx"]
    row = Row(2, "evaluate", (str(tmp_path / "made"), str(tmp_path / "real")), ("--weights", *weights), "")
    job = make_job(row, "cpu", parser)
    assert weights[0] in job.inputs
    *parts, _ = parted(job, parser.parse_args(job.words))
    assert [parser.parse_args(part.words).weights for part in parts] == [weights, weights]
    assert job.kind != make_job(replace(row, options=()), "cpu", parser).kind


def test_two_rows_with_one_output_and_several_wrong_rows(batch, speech, small_checkpoint, tmp_path, caplog):
    good = ("speak", "speech.wav", f"--model {small_checkpoint} --steps 1", "good.mp4")
    ended = batch([good, (*good[:3], "GOOD.mp4"), ("speak", "none.wav")])
    assert ended.status == 2
    assert [said.split(": ")[0] for said in caplog.messages] == ["jobs.csv line 3", "jobs.csv line 4"]
    assert "that of line 2 too" in caplog.messages[0]
    assert "2 of 3 rows are wrong" in ended.err
    ended = batch([good, ("speak", "none.wav")], "--skip-wrong", "--quiet", "--workers", "1")
    assert ended.status == 2
    assert [row["status"] for row in results(tmp_path)] == ["done", "failed"]


def test_what_no_batch_made_is_not_replaced(batch, talkface, speech, tmp_path):
    """A folder of one's own in the place of a data set, and a table where the results would be written."""
    own = tmp_path / "out" / "set" / "own.txt"
    own.parent.mkdir(parents=True)
    own.write_text("precious")
    ended = batch([("prepare", "speech.wav", "", "set")])
    assert (ended.status, "no batch made it" in ended.err, own.read_text()) == (2, True, "precious")
    jobs = table(tmp_path, [("speak", "speech.wav")]).rename(tmp_path / "out" / "results.csv")
    before = jobs.read_text()
    ended = talkface("batch", jobs, "-o", jobs.parent)
    assert (ended.status, "another name than results.csv" in ended.err, jobs.read_text()) == (2, True, before)


@pytest.mark.parametrize("flags", [("--workers", "0"), ("--retries", "0"), ("--threads", "1000")])
def test_wrong_flags(batch, flags):
    ended = batch([("speak", "speech.wav")], *flags)
    assert (ended.status, flags[0] in ended.err) == (2, True)


def test_without_ray_it_says_what_to_install(batch, monkeypatch):
    monkeypatch.setattr("talkface_core.installed.find_spec", lambda name: None)
    ended = batch([("speak", "speech.wav")], "--ray", "auto")
    assert ended.status == 2
    assert "python -m pip install -r requirements-ray.txt" in ended.err


@pytest.fixture
def at_work(program, wav, small_checkpoint, tmp_path):
    """A batch of a short job and of two with minutes of sound to go, which have begun to be written."""
    wav("short.wav", np.zeros(8000, np.int16), 8000)
    wav("long.wav", np.zeros(8000 * 600, np.int16), 8000)
    options = f"--model {small_checkpoint} --steps 4"
    rows = [("speak", "short.wav", options, "short.mp4"), *(("speak", "long.wav", options, f"{k}.mp4") for k in (1, 2))]
    table(tmp_path, rows)
    words = ("batch", tmp_path / "jobs.csv", "-o", tmp_path / "out", "--device", "cpu", "--workers", "2", "--quiet")
    heeding = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    process = program(*words, **heeding)
    until = time.monotonic() + 120
    while len([part for part in tmp_path.rglob(".[12].mp4.*.part/*.mp4") if part.stat().st_size > 0]) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_leaves_whole_outputs_alone(at_work, tmp_path):
    """Also where a worker was killed before: what it had half done goes too."""
    workers = psutil.Process(at_work.pid).children()
    next(worker for worker in workers if list(tmp_path.glob(f"out/.1.mp4.{worker.pid}.part"))).kill()
    time.sleep(1)  # the loss is seen, and the job waits for another worker
    at_work.send_signal(signal.SIGINT)
    _, err = at_work.communicate(timeout=60)
    assert at_work.returncode == 130
    assert err == "talkface: stopped\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".batch", "results.csv", "short.mp4"]
    assert [row["status"] for row in results(tmp_path)] == ["done", "not done", "not done"]
    until = time.monotonic() + 20  # multiprocessing's own helper ends a moment after the program
    while any(map(alive, workers)):
        assert time.monotonic() < until
        time.sleep(0.05)


def alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
