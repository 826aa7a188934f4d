#pragma once

/// A commit whose outcome somebody waits for.

#include "store/committer.hpp"

#include <future>

namespace dormouse {

class awaited_commit final : public pending_commit {
public:
  std::future<expected<void>> durable() { return durable_.get_future(); }
  void settle(const expected<void>& outcome) noexcept override { durable_.set_value(outcome); }

private:
  std::promise<expected<void>> durable_;
};

} // namespace dormouse
