"""Two models of one table, trained once."""

import pytest
from people import people
from typer.testing import CliRunner

from retrograde.cli.app import app


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder with a table, a classifier and a regressor."""
    folder = tmp_path_factory.mktemp("trained")
    table = people(folder / "people.csv")
    said = {}
    for target, other in (("buys", "spend"), ("spend", "buys")):
        out = str(folder / f"{target}.safetensors")
        result = CliRunner().invoke(app, ["train", table, "--target", target, "--drop", other, "--out", out, "--hidden", "16"])
        assert result.exit_code == 0, result.output
        said[target] = result.output
    return folder, said
