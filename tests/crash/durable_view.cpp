#include "crash/durable_view.hpp"

#include "blob_files.hpp"
#include "crash/crash_settings.hpp"
#include "store/rocksdb_engine.hpp"
#include "store/store.hpp"

namespace dormouse::test {
namespace {

/// "http://host:port/k/<key>?..." has the key.
std::string key_in(std::string_view url) {
  const auto begin = url.find("/k/") + 3;
  return std::string(url.substr(begin, url.find('?') - begin));
}

std::unique_ptr<store> open_copy(const std::filesystem::path& directory,
                                 const std::filesystem::path& scratch) {
  std::filesystem::remove_all(scratch);
  std::filesystem::copy(directory, scratch, std::filesystem::copy_options::recursive);
  const auto settings = crash_options(scratch);
  auto engine = value_or_throw(open_rocksdb(
      {scratch, settings.store_cache_bytes, settings.store_buffer_bytes, settings.max_inline_bytes}));
  return value_or_throw(store::open(std::move(engine), scratch, settings.max_inline_bytes));
}

class reader {
public:
  explicit reader(store& from) : store_(from) {}

  durable_view read() {
    read_queue();
    read_inboxes();
    read_objects();
    read_blobs();
    view_.attempt_marks = count('A');
    view_.dead_letters = count('D');
    return std::move(view_);
  }

private:
  template <class Visit> void each(char kind, Visit visit) {
    auto row = store_.scan(keys::all(kind));
    for (; row->valid(); row->next())
      if (!visit(row->key(), row->value())) ++view_.unreadable;
    value_or_throw(row->status());
  }

  std::size_t count(char kind) {
    std::size_t rows = 0;
    each(kind, [&rows](std::string_view, std::string_view) { return ++rows > 0; });
    return rows;
  }

  void read_queue() {
    each('Q', [this](std::string_view, std::string_view value) {
      auto fetch = store_.read_fetch(value);
      if (!fetch) return false;
      ++view_.queued[key_in(fetch->url)];
      if (fetch->body_is_blob == 0) return true;
      owners_.insert(keys::blob(fetch->id, 'q'));
      auto body = store_.find_body(fetch->id, blob_side::request);
      return body && body->file && store_.blobs()->load(*body->file);
    });
  }

  void read_inboxes() {
    each('I', [this](std::string_view key, std::string_view value) {
      auto where = keys::parse_inbox(key);
      if (!where) return false;
      if (auto post = store_.read_post(value)) {
        auto arguments =
            detail::decode_arguments<std::tuple<std::string, std::uint64_t, std::uint32_t>>(post->arguments);
        view_.waiting_calls.emplace_back(where->where.instance_id, std::get<1>(arguments));
        return true;
      }
      auto result = store_.read_result(value);
      if (!result || result->path.top()->method != "on_result") return false;
      auto context = detail::decode_arguments<std::tuple<std::string, std::uint64_t, std::uint32_t>>(
          result->path.top()->context);
      ++view_.arrived[key_of(where->where.instance_id, std::get<1>(context))];
      if (result->body_is_blob == 0) return true;
      owners_.insert(keys::blob(result->fetch_id, 'r'));
      return store_.load_response_body(result->fetch_id).has_value();
    });
  }

  void read_objects() {
    for (std::size_t i = 0; i < fetcher_count; ++i) {
      const auto id = fetcher_id(i);
      if (auto state = value_or_throw(store_.load_object({"FETCHER", id}))) {
        auto& object = view_.fetchers[id] = std::make_unique<fetcher>();
        describe<fetcher>().load(*object, state->state, state->facts.state_version);
      }
    }
    if (auto state = value_or_throw(store_.load_object({"COUNTER", "c"}))) {
      counter object;
      describe<counter>().load(object, state->state, state->facts.state_version);
      view_.counter_value = object.value();
    }
    const address of{"LEDGER", "l"};
    if (auto state = value_or_throw(store_.load_object(of))) {
      ledger object;
      describe<ledger>().load(object, state->state, state->facts.state_version);
      view_.ledger_value = object.value();
    }
    const address fly{"MAYFLY", "m"};
    if (auto state = value_or_throw(store_.load_object(fly))) {
      mayfly object;
      describe<mayfly>().load(object, state->state, state->facts.state_version);
      view_.mayfly_value = object.value();
    }
    each('K', [this, &of, &fly](std::string_view key, std::string_view value) {
      if (key.starts_with(keys::storage_of(fly).first)) {
        auto number = store_.read_row(fly, key, value).and_then([](const std::string& bytes) {
          return decode<std::uint64_t>(bytes);
        });
        view_.mayfly_rows.insert(number.value_or(0));
        return number.has_value();
      }
      const auto user_key = key.substr(keys::storage_of(of).first.size());
      auto number = store_.read_row(of, user_key, value).and_then([](const std::string& bytes) {
        return decode<std::uint64_t>(bytes);
      });
      if (number) view_.ledger_rows.emplace(user_key, *number);
      return number.has_value();
    });
  }

  void read_blobs() {
    each('B', [this](std::string_view key, std::string_view) {
      ++view_.blobs;
      view_.lost_blobs += owners_.contains(key) ? 0 : 1;
      return true;
    });
  }

  store& store_;
  durable_view view_;
  std::set<std::string, std::less<>> owners_; ///< keys of the blobs that somebody refers to
};

} // namespace

durable_view read_durable(const std::filesystem::path& directory, const std::filesystem::path& scratch) {
  if (!std::filesystem::exists(directory)) return {}; // killed before it made it
  auto view = reader(*open_copy(directory, scratch)).read();
  view.blob_files = blob_files(directory).size();
  return view;
}

} // namespace dormouse::test
