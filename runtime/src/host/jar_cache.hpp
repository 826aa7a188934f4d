#pragma once

/// The cookie jars of one activation: each is read when a turn first asks for it and written, if it changed,
/// with the commit of the turn that changed it. Thrown away together with the object when a turn is undone.
///
/// A jar that has become too large loses cookies (`cookie_jar::keep_within`). Of many jars those used last
/// are kept; one that is on its way to the disk stays until it can be read from there.

#include "store/store.hpp"

#include <dormouse/serialization/codec.hpp>
#include <dormouse/serialization/cookie_jar.hpp>

#include <map>
#include <optional>
#include <string>
#include <utility>

namespace dormouse {

class jar_cache {
public:
  /// Throws `failure`: `corrupt`, `storage_error`.
  cookie_jar& open(store& from, const address& of, const std::string& name) {
    note(name);
    auto [at, is_new] = jars_.try_emplace(name);
    if (is_new) {
      auto bytes = from.load_jar(of, name);
      auto jar = bytes ? bytes->empty() ? expected<cookie_jar>() : decode<cookie_jar>(*bytes)
                       : unexpected<error>(bytes.error());
      if (!jar) {
        jars_.erase(at);
        throw failure({jar.error().code,
                       "cookie jar '" + name + "' of object " + to_string(of) + ": " + jar.error().message});
      }
      at->second = {std::move(*jar), std::move(*bytes)};
      bytes_ += at->second.stored->size();
    }
    at->second.looked_at = true;
    at->second.used = ++uses_;
    return at->second.jar;
  }

  /// Empty, whatever is stored and whether or not that can be read.
  cookie_jar& open_empty(const std::string& name) {
    note(name);
    auto& of = jars_[name];
    of.jar.clear();
    of.looked_at = true;
    of.used = ++uses_;
    return of.jar;
  }

  /// What differs from what is stored; `commit`: the number of the commit that will carry it.
  void put_changes(const store& to, write_set& writes, const address& of, std::size_t max_bytes,
                   std::uint64_t commit) {
    for (auto& [name, each] : jars_) {
      if (!std::exchange(each.looked_at, false)) continue;
      each.jar.keep_within(max_bytes);
      auto bytes = each.jar.empty() ? std::string() : encode(each.jar);
      if (each.stored && bytes == *each.stored) continue;
      to.put_jar(writes, of, name, bytes);
      bytes_ += bytes.size();
      bytes_ -= each.stored ? each.stored->size() : 0;
      each.stored = std::move(bytes);
      each.commit = commit;
    }
  }

  /// So many commits are settled, and no turn runs: drops the jars that were not used for longest while there
  /// are more bytes.
  void trim(std::uint64_t settled, std::size_t max_bytes) {
    while (bytes_ > max_bytes) {
      auto oldest = jars_.end();
      for (auto each = jars_.begin(); each != jars_.end(); ++each)
        if (each->second.stored && each->second.commit <= settled &&
            (oldest == jars_.end() || each->second.used < oldest->second.used))
          oldest = each;
      if (oldest == jars_.end()) return;
      bytes_ -= oldest->second.stored->size();
      jars_.erase(oldest);
    }
  }

  /// Of all of them, as they are stored.
  std::size_t bytes() const noexcept { return bytes_; }

  void clear() noexcept {
    jars_.clear();
    bytes_ = 0;
    keep();
  }

  // What happens to jars from `save` on can be taken back, until `keep`. It costs a copy of each that is
  // opened.
  void save() {
    keep();
    is_saved_ = true;
  }
  void keep() noexcept {
    is_saved_ = false;
    before_.clear();
  }
  void go_back() {
    for (auto& [name, before] : before_) {
      bytes_ += before && before->stored ? before->stored->size() : 0;
      if (auto now = jars_.find(name); now != jars_.end() && now->second.stored)
        bytes_ -= now->second.stored->size();
      if (before)
        jars_.insert_or_assign(name, std::move(*before));
      else
        jars_.erase(name);
    }
    keep();
  }

private:
  struct entry {
    cookie_jar jar;
    std::optional<std::string> stored; ///< empty: no row; nothing: it was not looked at
    bool looked_at = false;            ///< since the last commit, so it may have been changed
    std::uint64_t used = 0;            ///< when, by `uses_`
    std::uint64_t commit = 0;          ///< that has written it last
  };

  void note(const std::string& name) {
    if (!is_saved_ || before_.contains(name)) return;
    auto known = jars_.find(name);
    before_.emplace(name, known == jars_.end() ? std::nullopt : std::optional(known->second));
  }

  std::map<std::string, entry> jars_;
  std::size_t bytes_ = 0;
  std::uint64_t uses_ = 0;
  bool is_saved_ = false;
  std::map<std::string, std::optional<entry>> before_; ///< what was opened since; nothing: it was not here
};

} // namespace dormouse
