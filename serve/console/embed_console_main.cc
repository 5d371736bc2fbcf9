// SPDX-License-Identifier: Apache-2.0
// embed_console PAGE_DIR MNIST_DIR OUT.cc : part of the build; writes the function of console.h with the files of the
// page, and sample pictures of the test set, as constants.
#include <absl/strings/escaping.h>
#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/sha256.h"
#include "io/idx_reader.h"

namespace lockstep {
namespace {

struct File {
  std::string path, content_type, content;
};

constexpr int kClasses = 10, kSamplesOfAClass = 2;

// The first pictures of each digit in the order of the digits.
absl::StatusOr<std::string> sample_pictures(const std::string& directory) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto reader, IdxPairReader::open(directory + "/t10k-images-idx3-ubyte.gz",
                                                                   directory + "/t10k-labels-idx1-ubyte.gz", kClasses));
  std::array<std::vector<std::string>, kClasses> found;
  std::vector<uint8_t> image(static_cast<size_t>(reader->shape().size()));
  size_t missing = kClasses * kSamplesOfAClass;
  for (int64_t i = 0; i < reader->count() && missing > 0; ++i) {
    uint8_t label = 0;
    LOCKSTEP_RETURN_IF_ERROR(reader->read(1, image.data(), &label));
    if (found[label].size() == kSamplesOfAClass) continue;
    found[label].push_back(absl::Base64Escape({reinterpret_cast<const char*>(image.data()), image.size()}));
    --missing;
  }
  nlohmann::json result = {{"side", reader->shape().width}, {"images", nlohmann::json::array()}};
  for (size_t label = 0; label < found.size(); ++label) {
    for (const std::string& b64 : found[label]) result["images"].push_back({{"label", label}, {"b64", b64}});
  }
  return result.dump();
}

absl::StatusOr<std::vector<File>> read_files(const std::string& page, const std::string& mnist) {
  constexpr std::string_view kScript = "text/javascript; charset=utf-8";
  constexpr std::array<std::array<std::string_view, 3>, 8> kFiles = {{
      {"/", "index.html", "text/html; charset=utf-8"},
      {"/console/icon.svg", "icon.svg", "image/svg+xml"},
      {"/console/style.css", "style.css", "text/css; charset=utf-8"},
      {"/console/api.js", "api.js", kScript},
      {"/console/app.js", "app.js", kScript},
      {"/console/chart.js", "chart.js", kScript},
      {"/console/ink.js", "ink.js", kScript},
      {"/console/pad.js", "pad.js", kScript},
  }};
  std::vector<File> files;
  for (const auto& [path, name, type] : kFiles) {
    LOCKSTEP_ASSIGN_OR_RETURN(std::string content, read_file(fmt::format("{}/{}", page, name), 1 << 20));
    files.push_back({std::string(path), std::string(type), std::move(content)});
  }
  LOCKSTEP_ASSIGN_OR_RETURN(std::string samples, sample_pictures(mnist));
  files.push_back({"/console/samples.json", "application/json", std::move(samples)});
  return files;
}

// As an array: compilers bound the length of a string literal.
std::string bytes_of(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    result += fmt::format("{}{}", static_cast<int>(static_cast<signed char>(text[i])), i % 32 == 31 ? ",\n" : ",");
  }
  return result;
}

std::string source_of(const std::vector<File>& files) {
  std::string arrays, cases;
  for (size_t i = 0; i < files.size(); ++i) {
    const File& file = files[i];
    arrays += fmt::format("constexpr char kContent{}[] = {{\n{}}};\n", i, bytes_of(file.content));
    const std::string etag = sha256_hex(file.content).substr(0, 16);
    cases += fmt::format(
        "constexpr ConsoleFile kFile{0}{{{{kContent{0}, sizeof(kContent{0})}}, \"{1}\", \"\\\"{2}\\\"\"}};\n", i,
        file.content_type, etag);
  }
  std::string finds;
  for (size_t i = 0; i < files.size(); ++i) {
    finds += fmt::format("  if (path == \"{}\") return &kFile{};\n", files[i].path, i);
  }
  return fmt::format(
      "#include \"serve/console/console.h\"\n\nnamespace lockstep {{\nnamespace {{\n{}{}}}  // namespace\n\n"
      "const ConsoleFile* find_console_file(std::string_view path) {{\n{}  return nullptr;\n}}\n\n}}  // namespace "
      "lockstep\n",
      arrays, cases, finds);
}

absl::Status run(const std::string& page, const std::string& mnist, const std::string& out) {
  LOCKSTEP_ASSIGN_OR_RETURN(const std::vector<File> files, read_files(page, mnist));
  return write_file_atomic(out, source_of(files));
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  if (argc != 4) {
    fmt::print(stderr, "usage: embed_console PAGE_DIR MNIST_DIR OUT.cc\n");
    return 2;
  }
  const absl::Status status = lockstep::run(argv[1], argv[2], argv[3]);
  if (!status.ok()) fmt::print(stderr, "embed_console: {}\n", std::string(status.message()));
  return status.ok() ? 0 : 1;
}
