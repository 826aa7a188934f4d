#include <dormouse/dormouse.hpp>

#include <iostream>

int main() {
  std::cout << "built against dormouse " << DORMOUSE_CONSUMER_FOUND << '\n';
}
