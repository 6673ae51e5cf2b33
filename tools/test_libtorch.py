"""Tests of libtorch.py: downloads against a server of the test's own, and the checks. No network, no LibTorch."""

import hashlib
import http.server
import io
import os
import tempfile
import threading
import unittest
from contextlib import redirect_stderr
from pathlib import Path
from unittest import mock

import libtorch
from libtorch import SetupError, Wheel

CONTENT = bytes(range(256)) * 20_000


class Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT by range; breaks off after `at_most` bytes; notes what was asked for."""

    at_most = len(CONTENT)
    status = 200
    asked: list = []

    def do_GET(self):
        start = int(self.headers.get("Range", "bytes=0-")[len("bytes=") : -1])
        self.asked.append(start)
        if self.status != 200:
            self.send_error(self.status)
            return
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : start + self.at_most])

    def log_message(self, *_):
        pass


class Download(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.wheel = Wheel("some==1", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT), ())
        self.part = self.folder / "x.part"
        self.handler = type("Handler", (Server,), {"asked": []})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.address = f"http://127.0.0.1:{server.server_port}/x.whl"
        for patch in (mock.patch("time.sleep"), mock.patch.dict(os.environ, {"no_proxy": "127.0.0.1"}), redirect_stderr(io.StringIO())):
            patch.__enter__()
            self.addCleanup(patch.__exit__, None, None, None)

    def download(self):
        libtorch.download(self.address, self.part, self.wheel)

    def assert_holds(self, expected):
        """Says the first byte that differs; assertEqual would print both contents."""
        found = self.part.read_bytes()
        if found != expected:
            at = next((it for it, (a, b) in enumerate(zip(found, expected)) if a != b), min(len(found), len(expected)))
            self.fail(f"{len(found)} bytes instead of {len(expected)}; the first that differs is at {at}")

    def test_a_whole_file_comes_in_one_request(self):
        self.download()
        self.assert_holds(CONTENT)
        self.assertEqual(self.handler.asked, [0])

    def test_a_download_that_was_stopped_goes_on_where_it_stopped(self):
        self.part.write_bytes(CONTENT[:1000])
        self.download()
        self.assert_holds(CONTENT)
        self.assertEqual(self.handler.asked, [1000])

    def test_dropped_connections_are_taken_up_again(self):
        self.handler.at_most = len(CONTENT) // 3 + 1
        self.download()
        self.assert_holds(CONTENT)
        self.assertEqual(len(self.handler.asked), 3)

    def test_a_server_that_sends_nothing_is_given_up_and_the_part_is_kept(self):
        self.handler.at_most = 0
        self.part.write_bytes(CONTENT[:1000])
        with self.assertRaisesRegex(SetupError, "run the same command again"):
            self.download()
        self.assert_holds(CONTENT[:1000])
        self.assertEqual(len(self.handler.asked), libtorch.ATTEMPTS)

    def test_a_file_that_is_shorter_than_expected_ends_the_attempts(self):
        self.wheel = self.wheel._replace(size=len(CONTENT) + 1)
        with self.assertRaisesRegex(SetupError, "shorter"):
            self.download()
        self.assertFalse(self.part.exists())

    def test_a_mirror_that_wants_a_log_in_is_left_to_pip(self):
        self.handler.status = 401
        self.assertIsNone(libtorch.download_by_address(self.wheel, self.address, self.folder))

    def test_a_wrong_hash_deletes_the_download_and_names_both_hashes(self):
        self.part.write_bytes(b"something else")
        with self.assertRaisesRegex(SetupError, f"wrong SHA-256 .* instead of {self.wheel.sha256}.*deleted"):
            libtorch.check_hash(self.part, self.wheel, delete=True)
        self.assertFalse(self.part.exists())

    def test_a_wheel_in_the_users_own_store_is_used_from_there(self):
        own = self.folder / "own store" / "x.whl"
        own.parent.mkdir()
        own.write_bytes(CONTENT)
        downloads = self.folder / "downloads"
        downloads.mkdir()
        found = libtorch.fetch_one(self.wheel, "x86_64", "3.11", own.as_uri(), downloads)
        self.assertEqual(found, own)
        self.assertTrue(own.exists())


class Words(unittest.TestCase):
    def test_progress_tells_percent_speed_and_time_left(self):
        with redirect_stderr(io.StringIO()):
            progress = libtorch.Progress(Wheel("torch==1", "", 900_000_000, ()))
            progress.resume(100_000_000)
        self.assertEqual(progress.text(300_000_000, 10.0), " 33 %  300 of 900 MB  20.0 MB/s  30 s left")

    def test_durations(self):
        self.assertEqual(libtorch.duration(48.2), "48 s")
        self.assertEqual(libtorch.duration(185), "3 min 05 s")

    def test_pips_report_gives_the_hash_in_either_of_two_ways(self):
        self.assertEqual(libtorch.sha256_in_report({"archive_info": {"hashes": {"sha256": "ab"}}}), "ab")
        self.assertEqual(libtorch.sha256_in_report({"archive_info": {"hash": "sha256=ab"}}), "ab")

    def test_an_unsupported_machine_is_named(self):
        with self.assertRaisesRegex(SetupError, "on riscv64"):
            libtorch.plan_for("riscv64", "cpu")
        with self.assertRaisesRegex(SetupError, "on aarch64 with CUDA"):
            libtorch.plan_for("aarch64", "cuda")


class Folder(unittest.TestCase):
    def test_a_folder_of_the_users_own_is_not_replaced(self):
        with tempfile.TemporaryDirectory() as folder:
            into = Path(folder)
            (into / "lib").mkdir()
            with self.assertRaisesRegex(SetupError, "not made by this script"):
                libtorch.check_not_someone_elses(into)
            (into / libtorch.STAMP).write_text('{"version": "0"}')
            libtorch.check_not_someone_elses(into)

    def test_a_torn_stamp_counts_as_none(self):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / libtorch.STAMP).write_text('{"vers')
            self.assertEqual(libtorch.read_stamp(Path(folder)), {})


if __name__ == "__main__":
    unittest.main()
