#include "store/damage_skip.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace dormouse {
namespace {

/// How many bytes behind what all keys of the walk have in common are told apart. Less than a key has is
/// enough: the walk back finds the exact end.
constexpr std::size_t most_digits = 64;
constexpr std::size_t least_digits = 32; ///< where the walk begins may be a shorter key than those behind it

/// Between the start of what is lost and its end, other rows may be good: so many places are tried.
constexpr std::size_t probes = 32;

/// Keys of one length as numbers.
class digits {
public:
  digits(std::string_view key, std::size_t skip, std::size_t count) : bytes_(count, '\0') {
    if (key.size() > skip) {
      const auto part = key.substr(skip, count);
      std::copy(part.begin(), part.end(), bytes_.begin());
    }
  }

  const std::string& bytes() const noexcept { return bytes_; }
  friend bool operator<(const digits& a, const digits& b) noexcept { return a.bytes_ < b.bytes_; }

  /// Adds 4 to the power of `exponent`. False if the sum has too many digits.
  bool add_power(std::size_t exponent) {
    const auto place = exponent / 4;
    if (place >= bytes_.size()) return false;
    unsigned carry = 1U << (exponent % 4 * 2);
    for (std::size_t i = bytes_.size() - place; i-- > 0 && carry != 0;) {
      carry += at(i);
      bytes_[i] = static_cast<char>(carry & 0xffU);
      carry >>= 8U;
    }
    return carry == 0;
  }

  /// Subtracts 2 to the power of `exponent`. False if the difference is below 0.
  bool subtract_power_of_2(std::size_t exponent) {
    const auto place = exponent / 8;
    if (place >= bytes_.size()) return false;
    unsigned borrow = 1U << (exponent % 8);
    for (std::size_t i = bytes_.size() - place; i-- > 0 && borrow != 0;) {
      const unsigned digit = at(i);
      bytes_[i] = static_cast<char>((digit - borrow) & 0xffU);
      borrow = digit < borrow ? 1 : 0;
    }
    return borrow == 0;
  }

  /// `part` of `parts` of the way from `low` to `high`.
  static digits between(const digits& low, const digits& high, unsigned part, unsigned parts) {
    auto out = low;
    std::string way(low.bytes_.size(), '\0');
    int borrow = 0;
    for (std::size_t i = way.size(); i-- > 0;) {
      const int digit = static_cast<int>(high.at(i)) - static_cast<int>(low.at(i)) - borrow;
      borrow = digit < 0 ? 1 : 0;
      way[i] = static_cast<char>(digit + borrow * 256);
    }
    unsigned rest = 0; // of the division; the product needs no more than two bytes at a time
    std::string step(way.size(), '\0');
    for (std::size_t i = 0; i < way.size(); ++i) {
      const unsigned value = rest * 256 + static_cast<unsigned char>(way[i]);
      step[i] = static_cast<char>(value / parts);
      rest = value % parts;
    }
    unsigned carry = 0;
    for (std::size_t i = step.size(); i-- > 0;) {
      carry += out.at(i) + static_cast<unsigned char>(step[i]) * part;
      out.bytes_[i] = static_cast<char>(carry & 0xffU);
      carry >>= 8U;
    }
    return out;
  }

private:
  unsigned at(std::size_t i) const noexcept { return static_cast<unsigned char>(bytes_[i]); }

  std::string bytes_;
};

class search {
public:
  search(const iterator_maker& another, std::unique_ptr<rocksdb::Iterator>& rows, std::string from,
         std::string_view end)
      : another_(another), rows_(rows), from_(std::move(from)), end_(end) {
    common_ = static_cast<std::size_t>(
        std::mismatch(from_.begin(),
                      from_.begin() + static_cast<std::ptrdiff_t>(std::min(from_.size(), end_.size())),
                      end_.begin())
            .first -
        from_.begin());
    count_ = std::clamp(std::max(from_.size(), end_.size()) - common_ + 1, least_digits, most_digits);
  }

  expected<damage_passed> run() {
    const digits first(from_, common_, count_);
    digits bad = first;
    std::optional<digits> good = gallop(bad);
    if (other_) return unexpected<error>(*other_);
    halve(bad, good);
    // Nearer ones that the gallop has jumped over: other blocks are damaged too.
    for (unsigned i = 1; i < probes; ++i) {
      auto probe = digits::between(first, bad, i, probes);
      if (!(first < probe) || !works(probe) || !rows_->Valid() || rows_->key().compare(key_of(bad)) >= 0)
        continue;
      bad = digits::between(first, bad, i - 1, probes);
      good = probe;
      halve(bad, good);
      break;
    }
    for (std::size_t rounds = 0; rounds < probes && gallop_back(first, bad, good); ++rounds)
      halve(bad, good);
    if (other_) return unexpected<error>(*other_);
    return walk_back(good);
  }

private:
  std::string key_of(const digits& at) const { return from_.substr(0, common_) + at.bytes(); }

  void seek(const std::string& key) {
    rows_ = another_();
    rows_->Seek(key);
  }

  /// Whether the walk could go on from there.
  bool works(const digits& at) {
    seek(key_of(at));
    if (rows_->Valid() || rows_->status().ok()) return true;
    if (!is_damage(rows_->status()))
      other_ = error{errc::storage_error, "the store: " + rows_->status().ToString()};
    return false;
  }

  /// A key from which it works; `bad` is then the last from which it does not. Nothing if there is none.
  std::optional<digits> gallop(digits& bad) {
    const auto first = bad;
    for (std::size_t exponent = 0; !other_; ++exponent) {
      auto next = first;
      if (!next.add_power(exponent) || key_of(next) >= end_) return std::nullopt;
      if (works(next)) return next;
      bad = std::move(next);
    }
    return std::nullopt;
  }

  /// From `bad` towards `first`: whether it works anywhere between. `good` is the furthest such place in a
  /// row, and `bad` the next one, where it does not.
  bool gallop_back(const digits& first, digits& bad, std::optional<digits>& good) {
    const auto start = bad;
    std::optional<digits> found;
    bad = first;
    for (std::size_t exponent = 0; !other_; ++exponent) {
      auto next = start;
      if (!next.subtract_power_of_2(exponent) || !(first < next)) break;
      if (works(next) && rows_->Valid() && rows_->key().compare(key_of(start)) < 0) {
        found = std::move(next);
      } else if (found) {
        bad = std::move(next);
        break;
      }
    }
    if (!found) {
      bad = start;
      return false;
    }
    good = std::move(found);
    return true;
  }

  void halve(digits& bad, std::optional<digits>& good) {
    const digits end(end_, common_, count_);
    while (!other_) {
      auto middle = digits::between(bad, good ? *good : end, 1, 2);
      if (!(bad < middle)) return;
      if (works(middle))
        good = std::move(middle);
      else
        bad = std::move(middle);
    }
  }

  bool is_behind() const { return rows_->Valid() && rows_->key().compare(from_) >= 0; }

  expected<damage_passed> walk_back(const std::optional<digits>& good) {
    if (good) seek(key_of(*good));
    if (!good || !rows_->Valid()) {
      rows_ = another_();
      rows_->SeekToLast();
    } // of rows whose keys differ in their last bytes only
    damage_passed out{{from_, end_}, !is_behind()};
    for (; is_behind(); rows_->Prev())
      out.lost.to = rows_->key().ToString();
    if (rows_->Valid() || rows_->status().ok()) // it can be read now
      out = {{from_, from_}, false};
    else if (!is_damage(rows_->status()))
      return fail(errc::storage_error, "the store: " + rows_->status().ToString());
    if (out.is_at_end) return out;
    seek(out.lost.to);
    if (!rows_->Valid() && !rows_->status().ok())
      return fail(is_damage(rows_->status()) ? errc::corrupt : errc::storage_error,
                  "the store: " + rows_->status().ToString());
    return out;
  }

  const iterator_maker& another_;
  std::unique_ptr<rocksdb::Iterator>& rows_;
  const std::string from_;
  const std::string end_;
  std::size_t common_ = 0;
  std::size_t count_ = 0;
  std::optional<error> other_; ///< that is no damage
};

} // namespace

expected<damage_passed> pass_damage(const iterator_maker& another, std::unique_ptr<rocksdb::Iterator>& rows,
                                    std::string from, std::string_view end) {
  return search(another, rows, std::move(from), end).run();
}

} // namespace dormouse
