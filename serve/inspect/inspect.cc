// SPDX-License-Identifier: Apache-2.0
#include "serve/inspect/inspect.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/base/file.h"
#include "io/crc32c.h"
#include "io/gzip_reader.h"
#include "io/tensor_bundle_names.h"
#include "io/tfrecord.h"
#include "serve/inspect/inspectors.h"
#include "serve/text_table.h"

namespace lockstep {
namespace {

constexpr std::string_view kExpected =
    "expected IDX, TFRecords, TensorBoard events, a TensorFlow checkpoint (its prefix or one of its files), a "
    "SavedModel, ONNX, PNG, JSON, other text, or a directory of these";
constexpr int kMaxDirectoryDepth = 8;
constexpr size_t kMostFiles = 10'000;

enum class FileKind {
  kUnknown,
  kEmpty,
  kIdx,
  kRecords,
  kBundle,
  kState,
  kMetaGraph,
  kSavedModel,
  kFingerprint,
  kOnnx,
  kPng,
  kJson,
  kText
};

// The ends of a file, as far as they tell what it is.
struct Peek {
  std::string head;      // first bytes
  std::string inflated;  // the same of what is compressed in it; of a plain file, `head`
  std::string tail;      // last bytes
  bool framed = false;   // begins as a TFRecord, inflated or not
};

constexpr size_t kHeadBytes = 4096, kTailBytes = 8;

// Whether the bytes begin with a record whose length has the right CRC.
bool begins_with_record(std::string_view bytes) {
  if (bytes.size() < kRecordHeaderBytes) return false;
  constexpr size_t kLengthBytes = sizeof(uint64_t);
  uint32_t stored;
  std::memcpy(&stored, bytes.data() + kLengthBytes, sizeof(stored));
  return masked_crc32c(bytes.substr(0, kLengthBytes)) == stored;
}

absl::StatusOr<Peek> peek_at(const std::string& path) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto file, RandomAccessFile::open(path));
  Peek peek;
  peek.head.resize(kHeadBytes);
  LOCKSTEP_ASSIGN_OR_RETURN(const size_t got, file->read_at(0, kHeadBytes, peek.head.data()));
  peek.head.resize(got);
  peek.tail.resize(std::min<uint64_t>(kTailBytes, file->size()));
  LOCKSTEP_ASSIGN_OR_RETURN(const size_t tail,
                            file->read_at(file->size() - peek.tail.size(), peek.tail.size(), peek.tail.data()));
  peek.tail.resize(tail);
  peek.inflated = peek.head;
  if (detect_compression(peek.head) != Compression::kNone && !begins_with_record(peek.head)) {
    LOCKSTEP_ASSIGN_OR_RETURN(const auto stream, GzipReader::open(path));
    std::string inflated(kHeadBytes, '\0');
    const auto bytes = stream->read(inflated.data(), inflated.size());
    inflated.resize(bytes.value_or(0));
    peek.inflated = std::move(inflated);
  }
  peek.framed = begins_with_record(peek.inflated);
  return peek;
}

bool is_text(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 || c == '\n' || c == '\r' || c == '\t';
  });
}

bool has_idx_magic(std::string_view bytes) {
  constexpr size_t kMagicBytes = 4;
  if (bytes.size() < kMagicBytes || !bytes.starts_with(std::string_view("\0\0\x08", 3))) return false;
  return bytes[3] == 1 || bytes[3] == 3 || bytes[3] == 4;
}

// Both begin with their version, field 1: a SavedModel's is 1, an ONNX file's is 3 or more.
FileKind protobuf_kind(std::string_view bytes) {
  constexpr size_t kTwoFields = 3;
  constexpr char kField1Varint = 0x08, kField2Bytes = 0x12, kHighestIrVersion = 64;
  if (bytes.size() < kTwoFields || bytes[0] != kField1Varint) return FileKind::kUnknown;
  if (bytes[1] == 1 && bytes[2] == kField2Bytes) return FileKind::kSavedModel;
  return bytes[1] >= 3 && bytes[1] < kHighestIrVersion && !is_text(bytes) ? FileKind::kOnnx : FileKind::kUnknown;
}

FileKind kind_by_content(const Peek& peek) {
  constexpr std::string_view kTableMagic("\x57\xfb\x80\x8b\x24\x75\x47\xdb", 8);
  if (peek.head.empty()) return FileKind::kEmpty;
  if (peek.framed) return FileKind::kRecords;
  if (has_idx_magic(peek.inflated)) return FileKind::kIdx;
  if (peek.tail == kTableMagic) return FileKind::kBundle;
  if (peek.head.starts_with("\x89PNG")) return FileKind::kPng;
  if (const FileKind kind = protobuf_kind(peek.head); kind != FileKind::kUnknown) return kind;
  if (!is_text(peek.head)) return FileKind::kUnknown;
  if (peek.head.starts_with("model_checkpoint_path")) return FileKind::kState;
  return peek.head[0] == '{' || peek.head[0] == '[' ? FileKind::kJson : FileKind::kText;
}

// What a file was before it was damaged.
FileKind kind_by_name(const std::string& path) {
  const std::string name = base_name(path);
  const auto contains = [&name](std::string_view part) { return name.find(part) != std::string::npos; };
  if (contains(".tmp")) return FileKind::kUnknown;
  if (contains(".tfrecord") || has_events_name(path)) return FileKind::kRecords;
  if (contains("-idx1-ubyte") || contains("-idx3-ubyte")) return FileKind::kIdx;
  if (name == "checkpoint") return FileKind::kState;
  if (name.ends_with(".meta")) return FileKind::kMetaGraph;
  if (name == "saved_model.pb") return FileKind::kSavedModel;
  if (name.ends_with(".onnx")) return FileKind::kOnnx;
  if (name.ends_with(".png")) return FileKind::kPng;
  return FileKind::kUnknown;
}

// A data file has no mark of its own, and its name tells: without its index it is lost, whatever its bytes look like.
bool is_of_bundle(const std::string& path) { return strip_bundle_suffix(path) && !path.ends_with(".meta"); }

bool is_reported_with_its_index(const std::string& path) {
  return is_of_bundle(path) && !path.ends_with(kBundleIndexSuffix) &&
         file_exists(bundle_index_path(*strip_bundle_suffix(path)));
}

absl::StatusOr<FileKind> kind_of(const std::string& path) {
  if (is_of_bundle(path)) return FileKind::kBundle;
  if (base_name(path) == kFingerprintName) return FileKind::kFingerprint;  // its bytes look like an ONNX file's
  LOCKSTEP_ASSIGN_OR_RETURN(const Peek peek, peek_at(path));
  const FileKind content = kind_by_content(peek);
  const bool told = content != FileKind::kUnknown && content != FileKind::kText && content != FileKind::kEmpty;
  if (told) return content;
  const FileKind name = kind_by_name(path);
  if (name == FileKind::kMetaGraph && content == FileKind::kText) return content;  // other programs use this ending too
  // An empty record file holds no records, and is sound.
  return name == FileKind::kUnknown ? content : name;
}

void inspect_as(FileKind kind, InspectReport& report) {
  switch (kind) {
    case FileKind::kIdx:
      return inspect_idx(report);
    case FileKind::kRecords:
      return inspect_records(report);
    case FileKind::kBundle:
      return inspect_bundle(report);
    case FileKind::kState:
      return inspect_checkpoint_state(report);
    case FileKind::kMetaGraph:
      return inspect_meta_graph(report);
    case FileKind::kSavedModel:
      return inspect_saved_model(report.path, report);
    case FileKind::kFingerprint:
      return inspect_fingerprint(report);
    case FileKind::kOnnx:
      return inspect_onnx(report);
    case FileKind::kPng:
      return inspect_png(report);
    case FileKind::kJson:
      return inspect_json(report);
    case FileKind::kText:
      report.kind = "text";
      return;
    case FileKind::kEmpty:
      report.kind = "empty file";
      return;
    case FileKind::kUnknown:
      report.kind = "not recognised";
      return;
  }
}

// Walks a directory and its sub-directories in the order of names.
class DirectoryWalk {
 public:
  explicit DirectoryWalk(InspectReport& report) : report_(report) {}

  absl::Status walk(const std::string& directory, int level) {
    const std::string saved_model = join_path(directory, "saved_model.pb");
    if (file_exists(saved_model)) {
      InspectReport& model = add(directory);
      inspect_saved_model(saved_model, model);
      return absl::OkStatus();
    }
    LOCKSTEP_ASSIGN_OR_RETURN(const std::vector<std::string> names, list_directory(directory));
    for (const std::string& name : names) LOCKSTEP_RETURN_IF_ERROR(visit(join_path(directory, name), level));
    return absl::OkStatus();
  }

 private:
  absl::Status visit(const std::string& path, int level) {
    if (is_directory(path)) return level < kMaxDirectoryDepth ? walk(path, level + 1) : absl::OkStatus();
    if (is_reported_with_its_index(path)) return absl::OkStatus();
    if (report_.files.size() == kMostFiles) {
      return absl::ResourceExhaustedError(
          fmt::format("{}: more than {} files: inspect a sub-directory", report_.path, kMostFiles));
    }
    InspectReport& file = add(path);
    const auto kind = kind_of(path);
    if (kind.ok()) {
      inspect_as(*kind, file);
    } else {
      file.kind = "not readable";
      file.damage.emplace_back(kind.status().message());
    }
    return absl::OkStatus();
  }

  InspectReport& add(const std::string& path) {
    report_.files.emplace_back();
    report_.files.back().path = path;
    return report_.files.back();
  }

  InspectReport& report_;
};

std::string directory_kind(const std::string& path) {
  if (file_exists(join_path(path, "checkpoint"))) return "training run";
  return "directory";
}

absl::StatusOr<InspectReport> inspect_directory(InspectReport report) {
  const std::string saved_model = join_path(report.path, "saved_model.pb");
  if (file_exists(saved_model)) {
    inspect_saved_model(saved_model, report);
    return report;
  }
  report.kind = directory_kind(report.path);
  LOCKSTEP_RETURN_IF_ERROR(DirectoryWalk(report).walk(report.path, 0));
  if (report.files.empty()) report.summary = "empty";
  return report;
}

absl::Status not_recognised(const std::string& path) {
  std::string first;
  if (const auto peek = peek_at(path); peek.ok()) first = printable(peek->head.substr(0, 16));
  return absl::InvalidArgumentError(
      fmt::format("{}: not recognised (it begins with `{}`): {}", path, first, kExpected));
}

}  // namespace

absl::StatusOr<InspectReport> inspect(const std::string& path) {
  InspectReport report;
  report.path = path;
  if (is_directory(path)) return inspect_directory(std::move(report));
  if (!file_exists(path)) {
    if (!file_exists(bundle_index_path(path))) {
      return absl::NotFoundError(fmt::format("{}: no such file or directory; {}", path, kExpected));
    }
    inspect_bundle(report);  // a prefix
    return report;
  }
  if (is_stream(path)) {
    return absl::InvalidArgumentError(fmt::format(
        "{}: a pipe or a device, of which no part can be read twice: inspect a file, which it can be written to",
        path));
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const FileKind kind, kind_of(path));
  if (kind == FileKind::kUnknown) return not_recognised(path);
  inspect_as(kind, report);
  return report;
}

}  // namespace lockstep
