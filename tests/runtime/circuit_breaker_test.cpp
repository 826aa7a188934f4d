#include "proxy/circuit_breaker.hpp"

#include <doctest/doctest.h>

namespace dormouse::test::circuit_breaker_test {

TEST_CASE("circuit breaker: opens after so many failures in a row, lets one probe pass, and closes when it "
          "succeeds") {
  circuit_breaker circuit(3, 1000);
  CHECK_FALSE(circuit.failed(0));
  CHECK_FALSE(circuit.failed(0));
  circuit.succeeded(); // not in a row
  CHECK_FALSE(circuit.failed(0));
  CHECK_FALSE(circuit.failed(0));
  CHECK(circuit.admit(0));
  CHECK(circuit.failed(10));
  CHECK(circuit.state() == circuit_state::open);
  CHECK(circuit.open_until_ms() == 1010);
  CHECK_FALSE(circuit.admit(1009));
  CHECK(circuit.admit(1010));
  CHECK(circuit.state() == circuit_state::half_open);
  CHECK_FALSE(circuit.admit(1010)); // one probe at a time
  circuit.succeeded();
  CHECK(circuit.state() == circuit_state::closed);
  CHECK(circuit.is_fresh());
  CHECK(circuit.admit(1010));
}

TEST_CASE(
    "circuit breaker: a probe that fails opens it again, one that came to no verdict lets another pass") {
  circuit_breaker circuit(1, 1000);
  CHECK(circuit.failed(0));
  CHECK_FALSE(circuit.failed(500)); // one that was under way when it opened
  CHECK(circuit.open_until_ms() == 1000);
  CHECK(circuit.admit(1000));
  circuit.abandoned();
  CHECK(circuit.admit(1001));
  CHECK(circuit.failed(1002));
  CHECK_FALSE(circuit.admit(2001));
  CHECK(circuit.admit(2002));
}

TEST_CASE("circuit breaker: with a threshold of 0 nothing opens it") {
  circuit_breaker circuit(0, 1000);
  for (int i = 0; i < 1000; ++i)
    CHECK_FALSE(circuit.failed(i));
  CHECK(circuit.admit(0));
  CHECK(circuit.is_fresh());
}

} // namespace dormouse::test::circuit_breaker_test
