#pragma once

/// The dispatcher's own commits: when settled they tell it, by a message that names the fetch and says
/// whether it is durable.

#include "host/actor_messages.hpp"
#include "host/counters.hpp"
#include "store/committer.hpp"

#include <caf/send.hpp>

#include <functional>
#include <utility>

namespace dormouse {

template <class Message> class fetch_commit final : public pending_commit {
public:
  fetch_commit(caf::actor dispatcher, std::uint64_t fetch_id)
      : dispatcher_(std::move(dispatcher)), fetch_id_(fetch_id) {}

  void settle(const expected<void>& outcome) noexcept override {
    caf::anon_send(dispatcher_, Message{fetch_id_, outcome.has_value()});
  }

private:
  caf::actor dispatcher_;
  std::uint64_t fetch_id_;
};

/// Tells the dispatcher when everything that was submitted before is durable.
class class_barrier final : public pending_commit {
public:
  class_barrier(caf::actor dispatcher, classes_settled what)
      : dispatcher_(std::move(dispatcher)), what_(std::move(what)) {
    behind_files = true;
  }

  void settle(const expected<void>&) noexcept override { caf::anon_send(dispatcher_, std::move(what_)); }

private:
  caf::actor dispatcher_;
  classes_settled what_;
};

/// Lets its token go when everything that was submitted before is durable.
class renaming_barrier final : public pending_commit {
public:
  explicit renaming_barrier(std::shared_ptr<void> token) : token_(std::move(token)) { behind_files = true; }

  void settle(const expected<void>&) noexcept override { token_.reset(); }

private:
  std::shared_ptr<void> token_;
};

/// Clears away rows that lead nowhere; should it fail, they are there next time.
class row_erasure final : public pending_commit {
public:
  void settle(const expected<void>&) noexcept override {}
};

/// A damaged row goes to the dead letters.
class row_burial final : public pending_commit {
public:
  /// `then`: when it is durable, on the committer's thread.
  explicit row_burial(counters& counts, std::function<void()> then = {})
      : counts_(counts), then_(std::move(then)) {}

  void settle(const expected<void>& outcome) noexcept override {
    if (!outcome) return;
    counts_.corrupt_rows.add();
    counts_.dead_letters.add();
    if (then_) then_();
  }

private:
  counters& counts_;
  const std::function<void()> then_;
};

} // namespace dormouse
