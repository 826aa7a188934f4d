#include "proxy/content_decoder.hpp"

#include <dormouse/serialization/headers.hpp>

#include <brotli/decode.h>
#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <new>
#include <utility>

namespace dormouse {

/// In: what has come and is not looked at. Out: where room is.
struct coding_step {
  const unsigned char* in;
  std::size_t in_left;
  unsigned char* out;
  std::size_t out_left;
};

/// One coding.
class content_codec {
public:
  content_codec() = default;
  content_codec(const content_codec&) = delete;
  content_codec& operator=(const content_codec&) = delete;
  virtual ~content_codec() = default;

  /// False if this is not in the coding.
  virtual bool step(coding_step& work) = 0;

  /// Whether what was given so far may be all there is.
  virtual bool has_ended() const noexcept = 0;
};

namespace {

constexpr std::size_t most_codings = 5;

/// Made in one call, over all stages.
constexpr std::size_t slice_bytes = std::size_t{64} << 10U;

/// Of zstd, as RFC 9659 has it for this use: 8 MiB.
constexpr int most_zstd_window_log = 23;

/// gzip (RFC 1952), one member behind the other; and zlib (RFC 1950), called "deflate", or what some servers
/// mean by that: deflate itself (RFC 1951). What comes behind is ignored, as zlib's own tools do.
class zlib_codec final : public content_codec {
public:
  explicit zlib_codec(bool gzip) : gzip_(gzip) {}
  ~zlib_codec() override {
    if (begun_) ::inflateEnd(&stream_);
  }

  bool step(coding_step& work) override {
    if (work.in_left == 0 && !begun_) return true;
    if (!begun_) begin(*work.in);
    if (ended_) {
      if (!gzip_ || work.in_left == 0 || *work.in != 0x1fU) {
        work.in_left = 0;
        return true;
      }
      ::inflateReset(&stream_);
      ended_ = false;
    }
    stream_.next_in = const_cast<Bytef*>(work.in); // it only reads
    stream_.avail_in = static_cast<uInt>(work.in_left);
    stream_.next_out = work.out;
    stream_.avail_out = static_cast<uInt>(work.out_left);
    const auto code = ::inflate(&stream_, Z_NO_FLUSH);
    work = {stream_.next_in, stream_.avail_in, stream_.next_out, stream_.avail_out};
    ended_ = code == Z_STREAM_END;
    return code == Z_OK || code == Z_BUF_ERROR || ended_;
  }

  bool has_ended() const noexcept override { return ended_; }

private:
  void begin(unsigned char first) {
    const bool is_zlib = (first & 0x0fU) == 8 && first >> 4U <= 7;
    if (::inflateInit2(&stream_, gzip_ ? 16 + MAX_WBITS : is_zlib ? MAX_WBITS : -MAX_WBITS) != Z_OK)
      throw std::bad_alloc();
    begun_ = true;
  }

  z_stream stream_{};
  const bool gzip_;
  bool begun_ = false;
  bool ended_ = false;
};

class brotli_codec final : public content_codec {
public:
  brotli_codec() : state_(::BrotliDecoderCreateInstance(nullptr, nullptr, nullptr)) {
    if (state_ == nullptr) throw std::bad_alloc();
  }
  ~brotli_codec() override { ::BrotliDecoderDestroyInstance(state_); }

  bool step(coding_step& work) override {
    if (ended_) {
      work.in_left = 0;
      return true;
    }
    const auto code =
        ::BrotliDecoderDecompressStream(state_, &work.in_left, &work.in, &work.out_left, &work.out, nullptr);
    ended_ = code == BROTLI_DECODER_RESULT_SUCCESS;
    return code != BROTLI_DECODER_RESULT_ERROR;
  }

  bool has_ended() const noexcept override { return ended_; }

private:
  BrotliDecoderState* state_;
  bool ended_ = false;
};

class zstd_codec final : public content_codec {
public:
  zstd_codec() : state_(::ZSTD_createDCtx()) {
    if (state_ == nullptr) throw std::bad_alloc();
    ::ZSTD_DCtx_setParameter(state_, ZSTD_d_windowLogMax, most_zstd_window_log);
  }
  ~zstd_codec() override { ::ZSTD_freeDCtx(state_); }

  bool step(coding_step& work) override {
    if (work.in_left == 0 && ended_) return true; // or it would wait for another frame
    ZSTD_inBuffer in{work.in, work.in_left, 0};
    ZSTD_outBuffer out{work.out, work.out_left, 0};
    const auto code = ::ZSTD_decompressStream(state_, &out, &in);
    work = {work.in + in.pos, work.in_left - in.pos, work.out + out.pos, work.out_left - out.pos};
    ended_ = code == 0;
    return ::ZSTD_isError(code) == 0;
  }

  bool has_ended() const noexcept override { return ended_; }

private:
  ZSTD_DCtx* state_;
  bool ended_ = false;
};

/// Null: unknown.
std::unique_ptr<content_codec> codec_of(std::string_view name) {
  if (iequals(name, "gzip") || iequals(name, "x-gzip")) return std::make_unique<zlib_codec>(true);
  if (iequals(name, "deflate")) return std::make_unique<zlib_codec>(false);
  if (iequals(name, "br")) return std::make_unique<brotli_codec>();
  if (iequals(name, "zstd")) return std::make_unique<zstd_codec>();
  return nullptr;
}

} // namespace

struct content_decoder::stage {
  std::string name;
  std::unique_ptr<content_codec> of;
  std::string made;       ///< in this call, and not looked at by the next stage
  std::size_t from = 0;   ///< of it, what the next stage has looked at
  std::size_t in_all = 0; ///< bytes made
  bool begun = false;
};

content_decoder::content_decoder(std::size_t max_bytes) : max_bytes_(max_bytes) {}

content_decoder::~content_decoder() = default;

std::unique_ptr<content_decoder> content_decoder::make(std::string_view codings, std::size_t max_bytes) {
  std::unique_ptr<content_decoder> out(new content_decoder(max_bytes));
  for (bool more = true; more;) {
    const auto comma = codings.find(',');
    more = comma != std::string_view::npos;
    auto name = codings.substr(0, comma);
    codings.remove_prefix(more ? comma + 1 : codings.size());
    const auto begin = name.find_first_not_of(" \t");
    if (begin == std::string_view::npos) continue;
    name = name.substr(begin, name.find_last_not_of(" \t") - begin + 1);
    if (iequals(name, "identity")) continue;
    auto known = out->stages_.size() < most_codings ? codec_of(name) : nullptr;
    if (!known) return nullptr;
    auto next = std::make_unique<stage>();
    next->name = name;
    next->of = std::move(known);
    out->stages_.push_back(std::move(next));
  }
  if (out->stages_.empty()) return nullptr;
  std::reverse(out->stages_.begin(), out->stages_.end()); // the last one that was applied is undone first
  return out;
}

void content_decoder::feed(std::string_view bytes) {
  sent_.erase(0, std::exchange(looked_at_, 0));
  sent_ += bytes;
  sent_bytes_ += bytes.size();
  has_more_ = true;
}

expected<std::string_view> content_decoder::next() {
  if (sent_bytes_ > max_bytes_)
    return fail(errc::too_large,
                fmt::format("the response body is over options::max_body_bytes = {}", max_bytes_));
  auto& last = *stages_.back();
  last.made.clear();
  left_ = slice_bytes;
  if (auto filled = fill(stages_.size() - 1); !filled) return unexpected<error>(filled.error());
  has_more_ = left_ == 0;
  return std::string_view(last.made);
}

/// Has a stage make what it can within the slice. False if it made nothing.
expected<bool> content_decoder::fill(std::size_t at) {
  auto& my = *stages_[at];
  if (at + 1 < stages_.size()) {
    my.made.clear();
    my.from = 0;
  }
  std::size_t made = 0;
  while (left_ != 0) {
    auto* before = at == 0 ? nullptr : stages_[at - 1].get();
    const auto& from = before == nullptr ? sent_ : before->made;
    auto& position = before == nullptr ? looked_at_ : before->from;
    const auto ready = from.size() - position;
    const auto room = std::min<std::size_t>(left_, std::size_t{16} << 10U);
    if (my.made.size() < made + room) my.made.resize(made + room);
    coding_step work{reinterpret_cast<const unsigned char*>(from.data()) + position, ready,
                     reinterpret_cast<unsigned char*>(my.made.data()) + made, room};
    my.begun = my.begun || ready != 0;
    const bool is_good = my.of->step(work);
    const auto got = room - work.out_left;
    const auto used = ready - work.in_left;
    if (!is_good)
      return fail(errc::corrupt, fmt::format("the response's body is not in its coding, {}", my.name));
    position += used;
    made += got;
    left_ -= got;
    my.in_all += got;
    if (my.in_all > max_bytes_)
      return fail(errc::too_large,
                  fmt::format("the response body is over options::max_body_bytes = {}", max_bytes_));
    if (got != 0 || used != 0) continue;
    if (before == nullptr || left_ == 0) break;
    auto more = fill(at - 1);
    if (!more) return more;
    if (!*more) break;
  }
  my.made.resize(made);
  return made != 0;
}

bool content_decoder::is_whole() const noexcept {
  return std::all_of(stages_.begin(), stages_.end(),
                     [](const auto& each) { return !each->begun || each->of->has_ended(); });
}

} // namespace dormouse
