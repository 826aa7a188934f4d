#pragma once

/// The cookie jars of one activation: each is read when a turn first asks for it and written, if it changed,
/// with the commit of the turn that changed it. Thrown away together with the object when a turn is undone.

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
    }
    at->second.looked_at = true;
    return at->second.jar;
  }

  /// Empty, whatever is stored and whether or not that can be read.
  cookie_jar& open_empty(const std::string& name) {
    auto& of = jars_[name];
    of.jar.clear();
    of.looked_at = true;
    return of.jar;
  }

  /// What differs from what is stored. Error: `too_large`.
  expected<void> put_changes(const store& to, write_set& writes, const address& of, std::size_t max_bytes) {
    for (auto& [name, each] : jars_) {
      if (!std::exchange(each.looked_at, false)) continue;
      auto bytes = each.jar.empty() ? std::string() : encode(each.jar);
      if (each.stored && bytes == *each.stored) continue;
      if (bytes.size() > max_bytes)
        return fail(errc::too_large,
                    "cookie jar '" + name + "' of object " + to_string(of) + " has " +
                        std::to_string(bytes.size()) +
                        " bytes; the limit is options::max_state_bytes = " + std::to_string(max_bytes));
      to.put_jar(writes, of, name, bytes);
      each.stored = std::move(bytes);
    }
    return {};
  }

  void clear() noexcept { jars_.clear(); }

private:
  struct entry {
    cookie_jar jar;
    std::optional<std::string> stored; ///< empty: no row; nothing: it was not looked at
    bool looked_at = false;            ///< since the last commit, so it may have been changed
  };

  std::map<std::string, entry> jars_;
};

} // namespace dormouse
