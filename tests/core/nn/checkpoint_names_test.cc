// SPDX-License-Identifier: Apache-2.0
// The ways in which checkpoints name a network's weights, each in a bundle made for it.
#include "core/nn/import/checkpoint_names.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "core/nn/network.h"
#include "tests/core/nn/import_fixture.h"

namespace lockstep {
namespace {

using testing::AllOf;
using testing::ElementsAreArray;
using testing::HasSubstr;

constexpr const char* kOurNames[] = {"conv2d/kernel", "conv2d/bias", "conv2d_1/kernel", "conv2d_1/bias",
                                     "dense/kernel",  "dense/bias",  "dense_1/kernel",  "dense_1/bias"};
const std::string kValue = "/.ATTRIBUTES/VARIABLE_VALUE";

class CheckpointNames : public testing::Test {
 protected:
  // A tensor of the parameter's shape, or another.
  void add(const std::string& name, size_t param) { add(name, network_.params().params()[param].shape); }
  void add(const std::string& name, const std::vector<int64_t>& shape) {
    bundle_.push_back({name, TensorDtype::kFloat32, shape, {}});
  }
  void add_all(const std::vector<std::string>& names) {
    ASSERT_EQ(names.size(), std::size(kOurNames));
    for (size_t i = 0; i < names.size(); ++i) add(names[i], i);
  }
  void remove(const std::string& name) {
    std::erase_if(bundle_, [&](const BundleTensor& tensor) { return tensor.name == name; });
  }

  absl::StatusOr<std::vector<std::string>> match() {
    const std::string prefix = dir_.file("ckpt");
    for (BundleTensor& tensor : bundle_) {
      int64_t elements = 1;
      for (const int64_t size : tensor.shape) elements *= size;
      tensor.bytes = std::string_view(zeros_).substr(0, static_cast<size_t>(elements) * sizeof(float));
    }
    LOCKSTEP_RETURN_IF_ERROR(write_tensor_bundle(prefix, bundle_));
    LOCKSTEP_ASSIGN_OR_RETURN(const auto reader, TensorBundleReader::open(prefix));
    return match_parameters(*reader, network_.params());
  }
  void expect_match(const std::vector<std::string>& names) {
    const auto keys = match();
    ASSERT_TRUE(keys.ok()) << keys.status();
    EXPECT_THAT(*keys, ElementsAreArray(names));
  }
  void expect_no_match() {
    const absl::Status status = match().status();
    EXPECT_TRUE(absl::IsNotFound(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("its names do not tell which tensor is which weight"),
                      HasSubstr("the network has conv2d/kernel (3, 3, 1, 4)"), HasSubstr("the checkpoint has ")));
  }

  const Network network_ = *Network::build(imported_config());
  const std::string zeros_ = std::string(4096, '\0');
  const TmpDir dir_;
  std::vector<BundleTensor> bundle_;
};

// "<scope><number>/<part>", for kernel and bias of the layers that have these numbers.
std::vector<std::string> numbered_names(const std::string& scope, const std::vector<int>& numbers,
                                        const std::string& kernel = "kernel") {
  std::vector<std::string> names;
  for (const int number : numbers) {
    names.push_back(fmt::format("{}{}/{}{}", scope, number, kernel, kValue));
    names.push_back(fmt::format("{}{}/bias{}", scope, number, kValue));
  }
  return names;
}

TEST_F(CheckpointNames, OursMayHaveAScopeAndAnOptimizerBesideThem) {
  std::vector<std::string> names;
  for (const char* name : kOurNames) names.push_back(std::string("tower/") + name);
  add_all(names);
  for (size_t i = 0; i < names.size(); ++i) add("Adam/m/" + names[i], i);
  expect_match(names);
  // Two networks in one file: nothing tells which.
  for (size_t i = 0; i < names.size(); ++i) add(std::string("other/") + kOurNames[i], i);
  expect_no_match();
}

TEST_F(CheckpointNames, Keras2NumbersLayersWithWeights) {
  const auto names = numbered_names("model/layer_with_weights-", {0, 1, 2, 3});
  add_all(names);
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string variable = names[i].substr(0, names[i].size() - kValue.size());
    add(variable + "/.OPTIMIZER_SLOT/optimizer/m" + kValue, i);
  }
  expect_match(names);
}

TEST_F(CheckpointNames, Keras3NumbersAllLayersAsNumbersNotAsText) {
  for (const char* scope : {"_operations/", "model/_functional/_operations/", "_layers/"}) {
    for (const char* kernel : {"kernel", "_kernel"}) {
      const auto names = numbered_names(scope, {2, 4, 8, 10}, kernel);
      bundle_.clear();
      add_all(names);
      expect_match(names);
    }
  }
}

TEST_F(CheckpointNames, Keras3OptimizerListsWhatItTrains) {
  std::vector<std::string> names;
  for (int i = 0; i < 8; ++i) names.push_back(fmt::format("optimizer/_trainable_variables/{}{}", i, kValue));
  add_all(names);
  for (size_t i = 0; i < names.size(); ++i) add(fmt::format("optimizer/_variables/{}{}", i + 2, kValue), i);
  expect_match(names);
  // One more: another network.
  add("optimizer/_trainable_variables/8" + kValue, 3);
  expect_no_match();
  remove("optimizer/_trainable_variables/8" + kValue);
  // A hole.
  remove(names[3]);
  add("optimizer/_trainable_variables/9" + kValue, 3);
  expect_no_match();
}

TEST_F(CheckpointNames, LayerBeyondTheNetworkOrWithOtherVariablesIsAnotherNetwork) {
  const auto names = numbered_names("_operations/", {2, 4, 8, 10});
  add_all(names);
  add("_operations/3/gamma" + kValue, 4);
  expect_no_match();
  remove("_operations/3/gamma" + kValue);
  add("_operations/12/kernel" + kValue, {3, 3});
  add("_operations/12/bias" + kValue, 3);
  expect_no_match();
  remove("_operations/12/kernel" + kValue);
  remove("_operations/12/bias" + kValue);
  expect_match(names);
  remove(names[1]);
  expect_no_match();
}

TEST_F(CheckpointNames, TwoNumberedNetworksAreNotTold) {
  for (const char* scope : {"a/_layers/", "b/_layers/"}) add_all(numbered_names(scope, {0, 1, 2, 3}));
  expect_no_match();
}

TEST_F(CheckpointNames, OddNumbersAreNoNames) {
  for (const char* number : {"", "-1", "99999999999", "2x", "x"}) {
    bundle_.clear();
    add_all(numbered_names("_layers/", {2, 4, 8, 10}));
    bundle_[0].name = fmt::format("_layers/{}/kernel{}", number, kValue);
    expect_no_match();
  }
}

TEST_F(CheckpointNames, ShapeOfAnotherNetworkIsNamed) {
  const auto names = numbered_names("_layers/", {0, 1, 2, 3});
  add_all(names);
  bundle_[4].shape = {20, 7};
  const absl::Status status = match().status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(names[4]), HasSubstr("needs float32 (20, 6) for dense/kernel"), HasSubstr("(20, 7)")));
}

}  // namespace
}  // namespace lockstep
