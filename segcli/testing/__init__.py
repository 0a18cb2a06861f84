"""The conformance kit: does a model keep the contract? Plain functions; ``segcli models check`` runs them.

In a plugin's own tests::

    from segcli.testing import assert_conforms
    from my_package import plugin

    def test_it_keeps_the_contract():
        assert_conforms(plugin)
"""

from segcli.testing.subject import CheckFailed, NotApplicable, Note, Subject
from segcli.testing.verdict import (
    CHECKS,
    Finding,
    Verdict,
    assert_conforms,
    check_folder,
    check_plugin,
    check_subject,
    run_check,
)

__all__ = [
    "CHECKS",
    "CheckFailed",
    "Finding",
    "NotApplicable",
    "Note",
    "Subject",
    "Verdict",
    "assert_conforms",
    "check_folder",
    "check_plugin",
    "check_subject",
    "run_check",
]
