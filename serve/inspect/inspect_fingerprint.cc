// SPDX-License-Identifier: Apache-2.0
#include <farmhash.h>
#include <fmt/format.h>

#include "core/base/file.h"
#include "io/proto/fingerprint.pb.h"
#include "io/tensor_bundle_names.h"
#include "serve/inspect/graph_report.h"
#include "serve/inspect/inspectors.h"

namespace lockstep {

void inspect_fingerprint(InspectReport& report) {
  report.kind = "fingerprint of a SavedModel";
  proto::FingerprintDef fingerprint;
  if (!read_message(report.path, "FingerprintDef", fingerprint, report)) return;
  if (fingerprint.ByteSizeLong() == 0) {
    report.summary = "empty";
    report.damage.push_back(fmt::format("{}: empty: expected the hashes that TensorFlow writes", report.path));
    return;
  }
  report.summary = fingerprint.uuid().empty() ? "without uuid" : "uuid " + fingerprint.uuid();
  for (const auto& [name, hash] : {std::pair("saved_model_checksum", fingerprint.saved_model_checksum()),
                                   {"graph_def_program_hash", fingerprint.graph_def_program_hash()},
                                   {"signature_def_hash", fingerprint.signature_def_hash()},
                                   {"saved_object_graph_hash", fingerprint.saved_object_graph_hash()},
                                   {"checkpoint_hash", fingerprint.checkpoint_hash()}}) {
    report.add_fact(name, hash);
  }
  // The other hashes are of messages that TensorFlow has changed in memory, not of bytes that lie in a file.
  const std::string index =
      bundle_index_path(join_path(join_path(directory_name(report.path), "variables"), "variables"));
  if (fingerprint.checkpoint_hash() == 0 || !file_exists(index)) return;
  report.checksums_over = "the hash of the index of the variables; the others cannot be, from files";
  const auto bytes = read_file(index);
  if (!bytes.ok()) {
    report.damage.emplace_back(bytes.status().message());
    return;
  }
  const uint64_t hash = util::Fingerprint64(*bytes);
  if (hash == fingerprint.checkpoint_hash()) {
    ++report.checksums;
    return;
  }
  report.damage.push_back(
      fmt::format("{}: checkpoint_hash is {}, but {} has {}: the variables are of another model, or were changed",
                  report.path, fingerprint.checkpoint_hash(), index, hash));
}

}  // namespace lockstep
