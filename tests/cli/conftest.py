"""Running a command as a test does it."""

import pytest

from cml_fast._cli.app import main


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command in the folder of the files; return its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*argv):
        code = main([str(word) for word in argv])
        return code, *capsys.readouterr()

    return run
