// SPDX-License-Identifier: Apache-2.0
// What a client of gRPC sends, byte by byte, for clients that do not do what a library would.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lockstep::http2 {

inline std::string big_endian(uint32_t number, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) text += static_cast<char>(number >> (8 * i));
  return text;
}

inline std::string frame(int type, int flags, uint32_t stream, std::string_view payload) {
  return big_endian(static_cast<uint32_t>(payload.size()), 3) + static_cast<char>(type) + static_cast<char>(flags) +
         big_endian(stream, 4) + std::string(payload);
}

// The start of a connection. A client with no window takes nothing of any answer.
inline std::string preface(bool has_window = true) {
  return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" +
         frame(4, 0, 0, has_window ? "" : std::string("\0\4", 2) + std::string(4, '\0'));
}

// Of a call; streams have odd numbers, each higher than the one before.
inline std::string head(uint32_t stream, const std::string& method, const std::string& token = "") {
  std::vector<std::pair<std::string, std::string>> fields = {{":method", "POST"}, {":scheme", "http"},
                                                             {":path", method},   {":authority", "client"},
                                                             {"te", "trailers"},  {"content-type", "application/grpc"}};
  if (!token.empty()) fields.emplace_back("authorization", "Bearer " + token);
  std::string block;  // every field as a literal that is not indexed, of a new name
  for (const auto& [name, value] : fields) {
    block += '\0';
    for (const std::string& text : {name, value}) block += static_cast<char>(text.size()) + text;
  }
  return frame(1, 4, stream, block);
}

// A message, or its first bytes when `announced` says that it is longer, in one frame of at most 16 KiB.
inline std::string message(uint32_t stream, std::string_view bytes, uint32_t announced = 0) {
  const auto size = announced > 0 ? announced : static_cast<uint32_t>(bytes.size());
  return frame(0, announced > 0 ? 0 : 1, stream, '\0' + big_endian(size, 4) + std::string(bytes));
}

// So many calls of which nothing but the head comes.
inline std::string heads(int count, const std::string& method, const std::string& token = "") {
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes += head(static_cast<uint32_t>(2 * i + 1), method, token);
  return bytes;
}

}  // namespace lockstep::http2
