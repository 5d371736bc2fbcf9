// SPDX-License-Identifier: Apache-2.0
// Models that TensorFlow and its relatives wrote (tests/data/tensorflow_models), imported.
#include <gmock/gmock.h>

#include <cctype>
#include <filesystem>

#include "core/nn/import/graph_import.h"
#include "core/nn/import/onnx_import.h"
#include "io/proto/saved_model.pb.h"
#include "io/protobuf_bytes.h"
#include "io/saved_model.h"
#include "io/tensor_bundle.h"
#include "tests/core/nn/import_fixture.h"
#include "tests/support/damage.h"
#include "tests/support/fault_file.h"

namespace lockstep {
namespace {

using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct ForeignModel {
  std::string name;
  double dropout_rate;
  int64_t global_step = 0;
  std::string checkpoint = "";  // of those without a graph, its prefix
  bool has_graph() const { return checkpoint.empty(); }
  std::string path() const { return model_file(name) + checkpoint; }
};
void PrintTo(const ForeignModel& model, std::ostream* stream) { *stream << model.name; }

const ForeignModel kModels[] = {{"v1_resource", 0},
                                {"v1_reference", 0.25},
                                {"v1_frozen", 0},
                                {"v2_module", 0},
                                {"v2_keras", 0},
                                {"checkpoint_v1", 0, 70},
                                {"v2_keras3", 0},
                                {"checkpoint_v2", 0, 0, "/ckpt-1"},
                                {"checkpoint_keras3", 0, 0, "/plain"},
                                {"checkpoint_keras3", 0, 0, "/trained"},
                                {"tf2onnx.onnx", 0},
                                {"torch.onnx", 0.5}};

class NnImportFiles : public testing::TestWithParam<ForeignModel> {
 protected:
  absl::StatusOr<TrainedModel> load() {
    const std::string path = GetParam().path();
    return GetParam().has_graph() ? load_trained_model(path) : load_trained_model(path, imported_config());
  }
};

TEST_P(NnImportFiles, NetworkAndWeightsAreThoseOfTheFile) {
  const auto model = load();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(to_yaml(model->config), to_yaml(imported_config(GetParam().dropout_rate)));
  EXPECT_EQ(model->global_step, GetParam().global_step);
  EXPECT_THAT(model->origin, HasSubstr(GetParam().name));
  EXPECT_EQ(model->sources.size(), 8u);
  expect_predicts_as_tensorflow(*model);
}

TEST_P(NnImportFiles, WeightsAreTheSameBitsWhateverTheyWereStoredIn) {
  const auto model = load(), other = load_trained_model(model_file("v1_frozen"));
  ASSERT_TRUE(model.ok()) << model.status();
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(weights_hash(*model), weights_hash(*other));
}

TEST_P(NnImportFiles, LoadForADescribedNetworkTakesTheRightOneOnly) {
  const std::string path = GetParam().path();
  const auto model = load_trained_model(path, imported_config(0.1));
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(to_yaml(model->config), to_yaml(imported_config(0.1)));
  ModelConfig other = imported_config();
  other.path = "other.yaml";
  std::get<DenseConfig>(other.layers[4].kind).units = 7;
  const absl::Status status = load_trained_model(path, other).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), AnyOf(HasSubstr("another network"), HasSubstr("another model")));
}

INSTANTIATE_TEST_SUITE_P(Files, NnImportFiles, testing::ValuesIn(kModels), [](const auto& test) {
  std::string name = test.param.name + test.param.checkpoint;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return name;
});

TEST(NnImport, SourcesAreTheVariablesNames) {
  const auto model = load_trained_model(model_file("v1_resource"));
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_THAT(model->sources,
              ElementsAre("tower/conv2d/kernel", "tower/conv2d/bias", "tower/conv2d_1/kernel", "tower/conv2d_1/bias",
                          "tower/dense/kernel", "tower/dense/bias", "tower/dense_1/kernel", "tower/dense_1/bias"));
  EXPECT_THAT(model->warnings, IsEmpty());
}

TEST(NnImport, DropoutThatIsFedIsLeftOutAndSaidSo) {
  const auto model = load_trained_model(model_file("checkpoint_v1"));
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_THAT(model->warnings, testing::IsEmpty());  // its rate has a default, 0
}

TEST(NnImport, CheckpointIsNamedInEveryWay) {
  for (const char* name : {"", "/model.ckpt-70", "/model.ckpt-70.meta", "/model.ckpt-70.index", "/checkpoint"}) {
    const auto model = load_trained_model(model_file("checkpoint_v1") + name);
    EXPECT_TRUE(model.ok()) << name << ": " << model.status();
  }
}

TEST(NnImport, CheckpointWithoutAGraphNeedsADescription) {
  const absl::Status status = load_trained_model(model_file("checkpoint_v2/ckpt-1")).status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("lockstep import --source"));
}

// --- Damage: a status, never a crash. A protobuf has no checksum, so some damage gives another model. ---

// Imports `saved_model.pb` bytes with the variables that lie beside them.
absl::Status import_bytes(const std::string& bytes, const TensorBundleReader* variables) {
  proto::SavedModel saved;
  if (!parse_protobuf(bytes, &saved) || saved.meta_graphs_size() != 1) return absl::DataLossError("no SavedModel");
  return import_graph(saved.meta_graphs(0), variables, "damaged").status();
}

class NnImportDamage : public testing::TestWithParam<std::string> {
 protected:
  NnImportDamage() : good_(slurp(model_file(GetParam()) + "/saved_model.pb")) {
    if (auto files = read_saved_model(model_file(GetParam())); files.ok()) variables_ = files->variables;
  }

  // Calls `check` about `most` times.
  void expect_survives(size_t cuts, size_t flips) {
    ASSERT_TRUE(import_bytes(good_, variables_.get()).ok()) << import_bytes(good_, variables_.get());
    size_t failed = 0;
    const auto check = [&](const std::string& bytes) {
      const absl::Status status = import_bytes(bytes, variables_.get());
      failed += status.ok() ? 0 : 1;
      EXPECT_TRUE(status.ok() || !status.message().empty());
    };
    for_each_cut(
        good_, [&](const std::string& bytes, size_t) { check(bytes); }, good_.size() / cuts);
    EXPECT_GT(failed, 0u);
    failed = 0;
    for_each_bit_flip(
        good_, [&](const std::string& bytes, size_t) { check(bytes); }, 8 * good_.size() / flips | 1);
    EXPECT_GT(failed, 0u);
  }

  const std::string good_;
  std::shared_ptr<const TensorBundleReader> variables_;
};

TEST_P(NnImportDamage, CutAndFlippedGraphsGiveAStatus) {
  // The smallest is cut at every byte.
  const bool small = GetParam() == "v1_frozen";
  expect_survives(small ? good_.size() : 300, small ? 4000 : 700);
}

INSTANTIATE_TEST_SUITE_P(Files, NnImportDamage,
                         testing::Values("v1_frozen", "v1_resource", "v1_reference", "v2_module", "v2_keras",
                                         "v2_keras3"),
                         [](const auto& test) { return test.param; });

TEST(NnImport, CutAndFlippedOnnxGivesAStatus) {
  for (const char* name : {"torch.onnx", "tf2onnx.onnx"}) {
    const std::string good = slurp(model_file(name));
    ASSERT_TRUE(import_onnx(good, name).ok());
    const auto check = [&](const std::string& bytes, size_t) {
      const absl::Status status = import_onnx(bytes, "damaged").status();
      EXPECT_TRUE(status.ok() || !status.message().empty());
    };
    for_each_cut(good, [&](const std::string& bytes, size_t length) {
      check(bytes, length);
      if (length < good.size() / 2) {
        EXPECT_FALSE(import_onnx(bytes, "cut").ok()) << length;
      }
    });
    for_each_bit_flip(good, check, 5);
  }
}

TEST(NnImport, DamagedWeightsAreErrors) {
  const TmpDir dir;
  const std::string copy = dir.file("model");
  std::filesystem::copy(model_file("v1_resource"), copy, std::filesystem::copy_options::recursive);
  const std::string data = copy + "/variables/variables.data-00000-of-00001";
  std::string bytes = slurp(data);
  bytes[700] ^= 1;
  spill(data, bytes);
  const absl::Status status = load_trained_model(copy).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(data));
}

}  // namespace
}  // namespace lockstep
