// SPDX-License-Identifier: Apache-2.0
#include "serve/registry/version_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>

#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/nn/network.h"
#include "core/nn/saved_model_export.h"
#include "core/nn/trained_model.h"
#include "io/saved_model.h"

namespace lockstep {
namespace {

constexpr char kSavedModel[] = "saved_model.pb", kFingerprint[] = "fingerprint.pb", kVariables[] = "variables";
constexpr size_t kPieceBytes = 1 << 20;

// Calls `take` with the bytes of a file, piece by piece.
template <typename Take>
absl::Status read_pieces(const std::string& path, Take take) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto file, RandomAccessFile::open(path));
  std::string piece(kPieceBytes, '\0');
  for (uint64_t at = 0;;) {
    LOCKSTEP_ASSIGN_OR_RETURN(const size_t got, file->read_at(at, piece.size(), piece.data()));
    LOCKSTEP_RETURN_IF_ERROR(take(std::string_view(piece.data(), got)));
    if (got < piece.size()) return absl::OkStatus();
    at += got;
  }
}

absl::StatusOr<VersionFile> hash_file(const std::string& directory, const std::string& path) {
  VersionFile result{.path = path, .sha256 = ""};
  Sha256 hash;
  LOCKSTEP_RETURN_IF_ERROR(read_pieces(join_path(directory, path), [&](std::string_view bytes) {
    hash.update(bytes.data(), bytes.size());
    result.size_bytes += static_cast<int64_t>(bytes.size());
    return absl::OkStatus();
  }));
  result.sha256 = hash.hex_digest();
  return result;
}

absl::Status copy_file(const std::string& from, const std::string& to) {
  std::error_code error;
  const bool is_file = std::filesystem::is_regular_file(from, error);
  if (error) return absl::ErrnoToStatus(error.value(), fmt::format("{}: cannot be part of a model", from));
  if (!is_file) {
    return absl::InvalidArgumentError(fmt::format("{}: not a regular file: it cannot be part of a model", from));
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const auto file, WritableFile::create_new(to));
  LOCKSTEP_RETURN_IF_ERROR(read_pieces(from, [&](std::string_view bytes) { return file->append(bytes); }));
  LOCKSTEP_RETURN_IF_ERROR(file->sync());
  return file->close();
}

// The files of a SavedModel that a model of ours is made of, by their paths in it.
absl::StatusOr<std::vector<std::string>> saved_model_files(const std::string& directory) {
  std::vector<std::string> files{kSavedModel};
  if (file_exists(join_path(directory, kFingerprint))) files.emplace_back(kFingerprint);  // TensorFlow 2's
  const std::string variables = join_path(directory, kVariables);
  if (!is_directory(variables)) return files;
  LOCKSTEP_ASSIGN_OR_RETURN(const auto names, list_directory(variables));
  for (const std::string& name : names) {
    if (name.starts_with("variables.")) files.push_back(join_path(kVariables, name));
  }
  return files;
}

absl::Status copy_saved_model(const std::string& from, const std::string& to) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto files, saved_model_files(from));
  LOCKSTEP_RETURN_IF_ERROR(make_new_directory(to));
  const std::string variables = join_path(to, kVariables);
  const bool has_variables = files.back().starts_with(kVariables);
  if (has_variables) LOCKSTEP_RETURN_IF_ERROR(make_new_directory(variables));
  for (const std::string& path : files) {
    LOCKSTEP_RETURN_IF_ERROR(copy_file(join_path(from, path), join_path(to, path)));
  }
  if (has_variables) LOCKSTEP_RETURN_IF_ERROR(sync_directory(variables));
  return sync_directory(to);
}

// Of a run's directory its newest checkpoint counts, as everywhere.
std::optional<std::string> saved_model_at(const std::string& origin) {
  const bool is_run = is_directory(origin) && file_exists(join_path(origin, "model.yaml"));
  if (is_run || (!is_directory(origin) && base_name(origin) != kSavedModel)) return std::nullopt;
  auto directory = saved_model_directory(origin);
  return directory.ok() ? std::optional(*std::move(directory)) : std::nullopt;
}

// Returns the directory of the SavedModel in `staging`.
absl::StatusOr<std::string> copy_or_export(const std::string& origin, const std::string& staging,
                                           std::vector<std::string>& warnings) {
  if (const auto saved_model = saved_model_at(origin)) {
    std::string directory = join_path(staging, "model");
    LOCKSTEP_RETURN_IF_ERROR(copy_saved_model(*saved_model, directory));
    return directory;
  }
  LOCKSTEP_ASSIGN_OR_RETURN(const TrainedModel model, load_trained_model(origin));
  warnings = model.warnings;
  LOCKSTEP_ASSIGN_OR_RETURN(const Network network, Network::build(model.config));
  return export_saved_model(join_path(staging, "export"), model.config, network, model.weights.data(),
                            model.global_step);
}

// An error about the copy as one about what was copied, which is what the user knows.
absl::Status about_origin(const absl::Status& status, const std::string& copy, const std::string& origin) {
  std::string text(status.message());
  for (size_t at = 0; (at = text.find(copy, at)) != std::string::npos; at += origin.size()) {
    text.replace(at, copy.size(), origin);
  }
  return absl::Status(status.code(), text);
}

absl::Status damaged(const std::string& path, const std::string& how) {
  return absl::DataLossError(fmt::format(
      "{}: damaged in the registry: {}; delete this version and create it again from its origin", path, how));
}

absl::Status verify_file(const std::string& directory, const VersionFile& file) {
  const std::string path = join_path(directory, file.path);
  if (!file_exists(path)) return damaged(path, "the file is missing");
  LOCKSTEP_ASSIGN_OR_RETURN(const VersionFile found, hash_file(directory, file.path));
  if (found.size_bytes != file.size_bytes) {
    return damaged(path, fmt::format("{} bytes, {} when it was registered", found.size_bytes, file.size_bytes));
  }
  if (found.sha256 == file.sha256) return absl::OkStatus();
  return damaged(path, fmt::format("SHA-256 is {}, was {} when it was registered", found.sha256, file.sha256));
}

}  // namespace

absl::StatusOr<StagedModel> stage_model(const std::string& origin, const std::string& staging) {
  StagedModel staged;
  LOCKSTEP_ASSIGN_OR_RETURN(staged.directory, copy_or_export(origin, staging, staged.warnings));
  LOCKSTEP_ASSIGN_OR_RETURN(const auto paths, saved_model_files(staged.directory));
  for (const std::string& path : paths) {
    LOCKSTEP_ASSIGN_OR_RETURN(VersionFile file, hash_file(staged.directory, path));
    staged.files.push_back(std::move(file));
  }
  // What a server will load, not what it was made of.
  const auto model = load_trained_model(staged.directory);
  if (!model.ok()) return about_origin(model.status(), staged.directory, saved_model_at(origin).value_or(origin));
  return staged;
}

absl::Status verify_version_files(const std::string& directory, const std::vector<VersionFile>& files) {
  for (const VersionFile& file : files) LOCKSTEP_RETURN_IF_ERROR(verify_file(directory, file));
  return absl::OkStatus();
}

}  // namespace lockstep
