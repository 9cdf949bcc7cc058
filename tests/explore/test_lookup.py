"""A step is found by what a person calls it, and what is not there is told with what is near."""

import numpy as np
import pytest
from test_record import network

import retrograde as rg
from retrograde.errors import DifferentiationError
from retrograde.nn.losses import mse


@pytest.fixture(scope="module")
def record():
    return rg.explore(lambda net, x, y: mse(net(x), y))(*network((3, 4, 2)))


@pytest.mark.parametrize("name", ["omega1", "Omega1", "omega_1", "2.weight", "net[2].weight", "net.layers.2.weight"])
def test_a_parameter_has_many_names(record, name):
    assert record[name] is record["Ω1"]


@pytest.mark.parametrize("name", ["dl/df1", "dL/df1", "∂l/∂f1", "dloss/df1"])
def test_a_derivative_is_its_numbers(record, name):
    assert record[name] is record["f1"].cotangent


def test_a_derivative_by_a_parameter_and_of_a_step():
    net, x, y = network((3, 4, 2))
    record = rg.explore(lambda net, x, y: mse(net(x), y))(net, x, y)
    gradient = rg.grad(lambda net: mse(net(x), y))(net)
    np.testing.assert_allclose(record["dl/domega0"], gradient.layers[0].weight, rtol=1e-12)
    np.testing.assert_array_equal(record["df1/dh1"], record["f1"].jacobian_by("h1"))


def test_the_users_own_names_come_first():
    record = rg.explore(lambda loss, omega: np.sin(loss * omega))(0.5, 2.0)
    assert record["omega"].value == 2.0 and record["dl/dloss"] == pytest.approx(2 * np.cos(1.0))


def test_refusals_name_what_is_near(record):
    with pytest.raises(KeyError, match="did you mean 'omega1'"):
        record["omga1"]
    with pytest.raises(KeyError, match="'weight' may be Ω0 or Ω1"):
        record["weight"]
    with pytest.raises(KeyError, match=r"no step is called 'f9'.*f0, h1"):
        record["dl/df9"]
    with pytest.raises(KeyError, match=r"f1 reads .*not 'f0'"):
        record["df1/df0"]
    with pytest.raises(DifferentiationError, match=r"input x .*argnums"):
        record["dl/dx"]
