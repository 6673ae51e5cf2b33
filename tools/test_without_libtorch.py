"""Tests of without_libtorch.py."""

import unittest

from without_libtorch import crates_without_libtorch


def metadata(members, **dependencies):
    """What `cargo metadata` says of crates with these dependencies."""
    return {
        "packages": [{"id": it, "name": it.replace("_", "-")} for it in dependencies],
        "workspace_members": members,
        "resolve": {
            "nodes": [
                {"id": it, "deps": [{"pkg": other} for other in others]} for it, others in dependencies.items()
            ]
        },
    }


class Crates(unittest.TestCase):
    def test_what_leads_to_libtorch_by_others_is_left_out(self):
        said = metadata(
            ["core", "engine", "ferrite"], core=["serde"], engine=["core", "tch"], ferrite=["core"], tch=["torch_sys"],
            torch_sys=[], serde=[],
        )
        self.assertEqual(crates_without_libtorch(said), ["core", "ferrite"])

    def test_there_may_be_none(self):
        self.assertEqual(crates_without_libtorch(metadata(["ferrite"], ferrite=["torch_sys"], torch_sys=[])), [])

    def test_crates_that_depend_on_each_other_in_tests_are_walked_once(self):
        said = metadata(["a", "b"], a=["b"], b=["a"])
        self.assertEqual(crates_without_libtorch(said), ["a", "b"])


if __name__ == "__main__":
    unittest.main()
