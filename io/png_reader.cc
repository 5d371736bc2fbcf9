// SPDX-License-Identifier: Apache-2.0
#include "io/png_reader.h"

#include <fmt/format.h>
#include <png.h>
#include <zlib.h>

#include <utility>

namespace lockstep {
namespace {

constexpr std::string_view kSignature("\x89PNG\r\n\x1a\n", 8);
constexpr size_t kTypeBytes = 4, kLengthBytes = 4, kCrcBytes = 4;
constexpr size_t kChunkOverhead = kLengthBytes + kTypeBytes + kCrcBytes;
constexpr size_t kHeaderBytes = 13;  // of IHDR

uint32_t load_big_endian(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

// The name of an image format that is no PNG, or "".
std::string_view other_format(std::string_view bytes) {
  constexpr std::pair<std::string_view, std::string_view> kFormats[] = {
      {"\xff\xd8\xff", "a JPEG"}, {"GIF8", "a GIF"}, {"BM", "a BMP"},
      {"RIFF", "a WebP"},         {"II*", "a TIFF"}, {"MM", "a TIFF"}};
  for (const auto& [magic, format] : kFormats) {
    if (bytes.starts_with(magic)) return format;
  }
  return "";
}

class PngWalk {
 public:
  PngWalk(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  absl::StatusOr<PngInfo> run() {
    LOCKSTEP_RETURN_IF_ERROR(check_signature());
    at_ = kSignature.size();
    std::string_view type;
    for (; type != "IEND"; ++info_.chunks) {
      std::string_view data;
      LOCKSTEP_RETURN_IF_ERROR(take_chunk(&type, &data));
      if ((info_.chunks == 0) != (type == "IHDR")) {
        return damaged(fmt::format("chunk {} is {}: expected IHDR first, and once", info_.chunks + 1, type));
      }
      if (info_.chunks == 0) LOCKSTEP_RETURN_IF_ERROR(read_header(data));
    }
    if (at_ != bytes_.size()) return damaged(fmt::format("{} bytes behind IEND", bytes_.size() - at_));
    return info_;
  }

 private:
  absl::Status check_signature() const {
    if (has_png_signature(bytes_)) return absl::OkStatus();
    if (const std::string_view other = other_format(bytes_); !other.empty()) {
      return absl::InvalidArgumentError(
          fmt::format("{} is {}: only PNG is read, convert it first (`convert in.jpg out.png`)", name_, other));
    }
    if (bytes_.empty()) return absl::DataLossError(fmt::format("{}: empty, expected a PNG", name_));
    return absl::DataLossError(fmt::format("{}: no PNG: expected its signature in the first 8 bytes", name_));
  }

  absl::Status take_chunk(std::string_view* type, std::string_view* data) {
    const std::string_view rest = bytes_.substr(at_);
    if (rest.size() < kChunkOverhead) return damaged(fmt::format("expected a chunk, found {} bytes", rest.size()));
    const uint32_t length = load_big_endian(rest);
    if (length > rest.size() - kChunkOverhead) {
      return damaged(fmt::format("a chunk of {} bytes, but {} are left", length, rest.size() - kChunkOverhead));
    }
    *type = rest.substr(kLengthBytes, kTypeBytes);
    *data = rest.substr(kLengthBytes + kTypeBytes, length);
    const auto* covered = reinterpret_cast<const unsigned char*>(type->data());  // the type and the data behind it
    const auto computed = static_cast<uint32_t>(crc32_z(0, covered, kTypeBytes + length));
    const uint32_t stored = load_big_endian(rest.substr(kLengthBytes + kTypeBytes + length));
    if (computed != stored)
      return damaged(fmt::format("CRC of the chunk is {:08x}, expected {:08x}", stored, computed));
    at_ += kChunkOverhead + length;
    return absl::OkStatus();
  }

  absl::Status read_header(std::string_view data) {
    if (data.size() != kHeaderBytes) {
      return damaged(fmt::format("IHDR of {} bytes, expected {}", data.size(), kHeaderBytes));
    }
    const uint32_t width = load_big_endian(data), height = load_big_endian(data.substr(4));
    const bool sides_fit = width >= 1 && width <= kMaxPngSide && height >= 1 && height <= kMaxPngSide;
    if (!sides_fit || int64_t{width} * height > kMaxPngPixels) {
      return absl::InvalidArgumentError(
          fmt::format("{}: an image of {}x{} pixels: expected 1 to {} a side and at most {} in all", name_, width,
                      height, kMaxPngSide, kMaxPngPixels));
    }
    info_.width = static_cast<int>(width);
    info_.height = static_cast<int>(height);
    info_.bit_depth = static_cast<unsigned char>(data[8]);
    info_.interlaced = data[12] != 0;
    constexpr std::string_view kColours[] = {"grey", "", "RGB", "palette", "grey with alpha", "", "RGB with alpha"};
    const auto colour = static_cast<unsigned char>(data[9]);
    if (colour >= std::size(kColours) || kColours[colour].empty()) {
      return damaged(fmt::format("colour type {}, expected 0, 2, 3, 4 or 6", colour));
    }
    info_.colour = kColours[colour];
    return absl::OkStatus();
  }

  absl::Status damaged(const std::string& what) const {
    return absl::DataLossError(fmt::format("{}: offset {}: {}: the PNG is damaged", name_, at_, what));
  }

  const std::string_view bytes_;
  const std::string& name_;
  size_t at_ = 0;
  PngInfo info_;
};

bool any_transparent(const std::vector<uint8_t>& rgba) {
  for (size_t i = 3; i < rgba.size(); i += 4) {
    if (rgba[i] != 255) return true;
  }
  return false;
}

}  // namespace

bool has_png_signature(std::string_view bytes) { return bytes.starts_with(kSignature); }

absl::StatusOr<PngInfo> check_png(std::string_view bytes, const std::string& name) {
  return PngWalk(bytes, name).run();
}

absl::StatusOr<PngImage> decode_png(std::string_view bytes, const std::string& name) {
  PngImage result;
  LOCKSTEP_ASSIGN_OR_RETURN(result.info, check_png(bytes, name));
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  const auto error = [&] {
    const absl::Status status = absl::DataLossError(fmt::format("{}: cannot decode the PNG: {}", name, image.message));
    png_image_free(&image);
    return status;
  };
  if (png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()) == 0) return error();
  image.format = PNG_FORMAT_RGBA;
  image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;  // or 16-bit samples would count as linear light
  result.rgba.resize(PNG_IMAGE_SIZE(image));
  if (png_image_finish_read(&image, nullptr, result.rgba.data(), 0, nullptr) == 0) return error();
  result.transparent = any_transparent(result.rgba);
  return result;
}

}  // namespace lockstep
