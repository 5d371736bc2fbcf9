// SPDX-License-Identifier: Apache-2.0
#include "tests/io/io_fixtures.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <sstream>

#include "core/base/check.h"
#include "core/base/rng.h"

namespace lockstep {

void write_bytes(const std::string& path, std::string_view bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  LOCKSTEP_CHECK(out.good());
}

std::string read_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  LOCKSTEP_CHECK(in.good());
  std::ostringstream bytes;
  bytes << in.rdbuf();
  return bytes.str();
}

std::string compressed(std::string_view bytes, Compression compression) {
  z_stream z{};
  const int window_bits = compression == Compression::kGzip ? 15 + 16 : 15;
  LOCKSTEP_CHECK_EQ(deflateInit2(&z, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&z, static_cast<uLong>(bytes.size())) + 32, '\0');
  z.next_in = reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  z.next_out = reinterpret_cast<unsigned char*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  LOCKSTEP_CHECK_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

std::string idx_bytes(const std::vector<uint32_t>& dimensions, std::string_view payload) {
  std::string out{0, 0, 8, static_cast<char>(dimensions.size())};
  for (const uint32_t d : dimensions) {
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(d >> shift);
  }
  return out.append(payload);
}

std::string noise(size_t bytes, uint64_t seed) {
  std::string out(bytes, '\0');
  const RngStream stream(seed, RngPurpose::kTest, 0, 0);
  for (size_t i = 0; i < bytes; i += sizeof(Philox::Block)) {
    const Philox::Block block = stream.quad(static_cast<uint32_t>(i));
    std::memcpy(&out[i], block.data(), std::min(sizeof(block), bytes - i));
  }
  return out;
}

void write_idx_directory(const std::string& directory, int train, int test, bool gzip) {
  const auto write = [&](const std::string& stem, const std::string& bytes) {
    const std::string path = directory + "/" + stem;
    gzip ? write_bytes(path + ".gz", compressed(bytes, Compression::kGzip)) : write_bytes(path, bytes);
  };
  const auto labels = [](int count, uint64_t seed) {
    std::string out = noise(static_cast<size_t>(count), seed);
    for (char& c : out) c = static_cast<char>(static_cast<unsigned char>(c) % 10);
    return out;
  };
  const auto count = [](int n) { return static_cast<uint32_t>(n); };
  write("train-images-idx3-ubyte", idx_bytes({count(train), 4, 3}, noise(static_cast<size_t>(train) * 12, 1)));
  write("train-labels-idx1-ubyte", idx_bytes({count(train)}, labels(train, 2)));
  write("t10k-images-idx3-ubyte", idx_bytes({count(test), 4, 3}, noise(static_cast<size_t>(test) * 12, 3)));
  write("t10k-labels-idx1-ubyte", idx_bytes({count(test)}, labels(test, 4)));
}

std::string message_of(const absl::Status& status) { return std::string(status.message()); }

}  // namespace lockstep
