#include "upstream/compression.hpp"

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

#include <array>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <stdexcept>

namespace dormouse::samples {

namespace {

constexpr std::size_t compressed_block = std::size_t{64} * 1024;

enum class last_run : bool { no, yes };

// Hands the body to `feed`, run by run; an empty body is one empty run.
template <class Feed> void for_each_run(const answer_body& body, Feed feed) {
  std::uint64_t offset = 0;
  do {
    const auto run = body.size > 0 ? body.run_at(offset) : std::string_view{};
    offset += run.size();
    feed(run, offset == body.size ? last_run::yes : last_run::no);
  } while (offset < body.size);
}

void require(bool worked, const char* library) {
  if (!worked) {
    throw std::runtime_error{std::string{"compression: "} + library + " does not work"};
  }
}

std::string gzip(const answer_body& body) {
  z_stream stream{};
  constexpr int gzip_format = 16;
  require(deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + gzip_format, MAX_MEM_LEVEL,
                       Z_DEFAULT_STRATEGY) == Z_OK,
          "zlib");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> ends{&stream, deflateEnd};
  std::string out;
  std::array<Bytef, compressed_block> block; // NOLINT: deflate fills it
  for_each_run(body, [&](std::string_view run, last_run last) {
    // zlib does not write through it, it only lacks the const.
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(run.data()));
    stream.avail_in = static_cast<uInt>(run.size());
    do {
      stream.next_out = block.data();
      stream.avail_out = block.size();
      require(deflate(&stream, last == last_run::yes ? Z_FINISH : Z_NO_FLUSH) != Z_STREAM_ERROR, "zlib");
      out.append(reinterpret_cast<const char*>(block.data()), block.size() - stream.avail_out);
    } while (stream.avail_out == 0);
  });
  return out;
}

std::string brotli(const answer_body& body) {
  const std::unique_ptr<BrotliEncoderState, void (*)(BrotliEncoderState*)> encoder{
      BrotliEncoderCreateInstance(nullptr, nullptr, nullptr), BrotliEncoderDestroyInstance};
  require(encoder != nullptr, "brotli");
  constexpr std::uint32_t fast = 4;
  BrotliEncoderSetParameter(encoder.get(), BROTLI_PARAM_QUALITY, fast);
  std::string out;
  std::array<std::uint8_t, compressed_block> block; // NOLINT: the encoder fills it
  for_each_run(body, [&](std::string_view run, last_run last) {
    const auto* in = reinterpret_cast<const std::uint8_t*>(run.data());
    auto in_left = run.size();
    do {
      auto* next = block.data();
      auto left = block.size();
      const auto what = last == last_run::yes ? BROTLI_OPERATION_FINISH : BROTLI_OPERATION_PROCESS;
      require(BrotliEncoderCompressStream(encoder.get(), what, &in_left, &in, &left, &next, nullptr) ==
                  BROTLI_TRUE,
              "brotli");
      out.append(reinterpret_cast<const char*>(block.data()), block.size() - left);
    } while (in_left > 0 || BrotliEncoderHasMoreOutput(encoder.get()) == BROTLI_TRUE);
  });
  return out;
}

std::string zstandard(const answer_body& body) {
  const std::unique_ptr<ZSTD_CCtx, std::size_t (*)(ZSTD_CCtx*)> context{ZSTD_createCCtx(), ZSTD_freeCCtx};
  require(context != nullptr, "zstd");
  std::string out;
  std::array<char, compressed_block> block; // NOLINT: the encoder fills it
  for_each_run(body, [&](std::string_view run, last_run last) {
    ZSTD_inBuffer in{run.data(), run.size(), 0};
    const auto what = last == last_run::yes ? ZSTD_e_end : ZSTD_e_continue;
    bool more = true;
    while (more) {
      ZSTD_outBuffer into{block.data(), block.size(), 0};
      const auto left = ZSTD_compressStream2(context.get(), &into, &in, what);
      require(ZSTD_isError(left) == 0, "zstd");
      out.append(block.data(), into.pos);
      more = last == last_run::yes ? left > 0 : in.pos < in.size;
    }
  });
  return out;
}

} // namespace

std::string_view name_of(coding how) noexcept {
  switch (how) {
  case coding::identity:
    break;
  case coding::gzip:
    return "gzip";
  case coding::br:
    return "br";
  case coding::zstd:
    return "zstd";
  }
  return "identity";
}

std::string compressed(const answer_body& body, coding how) {
  switch (how) {
  case coding::identity:
    break;
  case coding::gzip:
    return gzip(body);
  case coding::br:
    return brotli(body);
  case coding::zstd:
    return zstandard(body);
  }
  std::string out;
  for_each_run(body, [&out](std::string_view run, last_run) { out += run; });
  return out;
}

std::string crc32_of(std::string_view bytes) {
  const auto sum = crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  std::array<char, 9> digits{};
  static_cast<void>(std::snprintf(digits.data(), digits.size(), "%08lx", static_cast<unsigned long>(sum)));
  return digits.data();
}

} // namespace dormouse::samples
