"""Tests of pictures.py. No browser and no training: pages and images are made here."""

import io
import json
import struct
import tempfile
import unittest
import zlib
from contextlib import redirect_stdout
from pathlib import Path

import pictures
from pictures import Gray, PictureError


def read_png(content):
    """Width, height and rows of a PNG file, by the format's own words (RFC 2083), with every checksum looked at."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(content):
        length, name = struct.unpack(">I4s", content[at : at + 8])
        body = content[at + 8 : at + 8 + length]
        assert struct.unpack(">I", content[at + 8 + length : at + 12 + length])[0] == zlib.crc32(name + body)
        chunks[name] = body
        at += 12 + length
    width, height, bits, kind = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (bits, kind, chunks[b"IEND"]) == (8, 0, b"")
    lines = zlib.decompress(chunks[b"IDAT"])
    rows = [lines[y * (width + 1) :][: width + 1] for y in range(height)]
    assert len(lines) == height * (width + 1) and all(row[0] == 0 for row in rows)
    return width, height, [list(row[1:]) for row in rows]


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)


class Faces(Folder):
    def test_the_first_of_each_class_are_taken_in_their_order(self):
        self.assertEqual(pictures.first_of_each([1, 0, 1, 1, 0], 3, 2), [[1, 4], [0, 2], []])

    def test_pictures_stand_side_by_side_enlarged_between_white_lines(self):
        row = [Gray(2, 1, bytes([1, 2])), Gray(2, 1, bytes([3, 4]))]
        width, height, rows = read_png(pictures.png(pictures.sheet([row, row[:1]])))
        w = pictures.WHITE
        full, part, line = [w, 1, 1, 2, 2, w, 3, 3, 4, 4, w], [w, 1, 1, 2, 2, w, w, w, w, w, w], [w] * 11
        self.assertEqual((width, height), (11, 7))
        self.assertEqual(rows, [line, full, full, line, part, part, line])

    def test_faces_come_from_the_images_that_the_run_names(self):
        runs = self.folder
        self.assertRaisesRegex(PictureError, "no run of frozen", pictures.faces, runs)
        run = runs / "frozen/seed-0-0a1b2c3d"
        run.mkdir(parents=True)
        chain = [{"key": "k", "step": {"dataset": {}}}, {"key": "other", "step": {"stage": {}}}]
        (run / "job.json").write_text(json.dumps({"chain": chain}))
        images = runs / ".store/dataset/k"
        images.mkdir(parents=True)
        (images / "dataset.json").write_text(json.dumps({"size": [1, 1, 1], "classes": ["a", "b"]}))
        (images / "items.csv").write_text("id,split,label\n0,,1\n1,,0\n2,,1\n")
        (images / "images.bin").write_bytes(bytes([10, 20, 30]))
        self.assertEqual(list(pictures.faces(runs).pixels[7 + 1 : 7 + 3]), [20, 20])
        self.assertEqual([it for it in pictures.faces(runs).pixels if it != pictures.WHITE], [20] * 4 + [10, 10, 30, 30] * 2)
        (images / "dataset.json").write_text(json.dumps({"size": [1, 1, 3], "classes": ["a", "b"]}))
        self.assertRaisesRegex(PictureError, "3 channels", pictures.faces, runs)


class Suite(Folder):
    def suite(self, **files):
        for name, content in files.items():
            path = self.folder / {"keys": pictures.KEYS, "base": "experiments/base/b.toml"}.get(name, f"experiments/{name}.toml")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return pictures.folder_of_suite(self.folder, self.folder / "target")

    def test_runs_are_kept_while_the_suite_stays_and_thrown_away_when_it_changes(self):
        first = self.suite(a="1", base="2", keys="3")
        first.mkdir(parents=True)
        self.assertEqual(self.suite(), first)
        self.assertTrue(first.is_dir())
        seen = {first}
        for change in ({"a": "other"}, {"base": "other"}, {"keys": "other"}, {"more": ""}):
            now = self.suite(**change)
            self.assertNotIn(now, seen)
            seen.add(now)
        self.assertFalse(first.exists())

    def test_a_program_that_is_not_built_is_said(self):
        with self.assertRaisesRegex(PictureError, "make build"):
            pictures.sweep(self.folder / "ferrite", self.folder / "runs")

    def test_a_suite_that_fails_gives_no_pictures(self):
        program = self.program("exit 1")
        with self.assertRaisesRegex(PictureError, "ended with 1"):
            pictures.sweep(program, self.folder / "runs")

    def program(self, text):
        path = self.folder / "program"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path


class Browser(Folder):
    def browser(self, text):
        """A program in the browser's place; `$into` is where it shall put its picture."""
        path = self.folder / "browser"
        path.write_text(f'#!/bin/sh\nfor it in "$@"; do case "$it" in --screenshot=*) into=${{it#*=}};; esac; done\n{text}\n')
        path.chmod(0o755)
        return str(path)

    def photograph(self, browser):
        into = self.folder / "report.png"
        pictures.photograph(browser, self.folder / "index.html", into)
        return into

    def test_a_browser_is_found_by_its_names_or_the_one_that_is_named(self):
        self.assertEqual(pictures.chromium(None, {"google-chrome": "/bin/g"}.get), "/bin/g")
        self.assertEqual(pictures.chromium("mine", {"mine": "/m", "chromium": "/c"}.get), "/m")

    def test_a_missing_browser_is_said_with_what_helps(self):
        with self.assertRaisesRegex(PictureError, "Chromium is missing.*apt-get install chromium.*--chromium"):
            pictures.chromium(None, lambda _: None)
        with self.assertRaisesRegex(PictureError, "no program `mine`"):
            pictures.chromium("mine", {"chromium": "/c"}.get)

    def test_a_page_is_asked_for_by_its_address_with_a_profile_of_its_own(self):
        line = pictures.command_line("c", Path("/a b/index.html"), Path("/p.png"), Path("/profile"))
        self.assertEqual((line[0], line[-1]), ("c", "file:///a%20b/index.html"))
        for it in ("--headless", "--user-data-dir=/profile", "--screenshot=/p.png", "--window-size=1050,1560"):
            self.assertIn(it, line)

    def test_a_picture_of_the_size_of_the_window_is_taken(self):
        content = self.folder / "content"
        content.write_bytes(pictures.png(Gray(*pictures.WINDOW, bytes(pictures.WINDOW[0] * pictures.WINDOW[1]))))
        self.assertEqual(self.photograph(self.browser(f'cp "{content}" "$into"')).read_bytes(), content.read_bytes())

    def test_no_picture_or_one_of_another_size_is_an_error(self):
        with self.assertRaisesRegex(PictureError, "made no picture.*\n.*no display"):
            self.photograph(self.browser("echo no display >&2"))
        content = self.folder / "content"
        content.write_bytes(pictures.png(Gray(2, 1, b"ab")))
        with self.assertRaisesRegex(PictureError, "2 x 1 pixels"):
            self.photograph(self.browser(f'cp "{content}" "$into"'))

    def test_what_fails_leaves_the_picture_that_was_there(self):
        path = self.folder / "report.png"
        path.write_bytes(b"old")

        def fails(at):
            at.write_bytes(b"half")
            raise PictureError("no")

        self.assertRaises(PictureError, pictures.written, path, fails)
        self.assertEqual([(it.name, it.read_bytes()) for it in self.folder.iterdir()], [("report.png", b"old")])
        with redirect_stdout(io.StringIO()):
            pictures.written(path, lambda at: at.write_bytes(b"new"))
        self.assertEqual(path.read_bytes(), b"new")


if __name__ == "__main__":
    unittest.main()
