// SPDX-License-Identifier: Apache-2.0
#include "io/tensor_bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "tests/support/damage.h"
#include "tests/support/fault_file.h"
#include "tests/support/tmp_dir.h"

namespace lockstep {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<float> kBias = {1.5f, -2.0f, 0.25f};
const std::vector<float> kKernel = {0, 1, 2, 3, 4, 5, 6, 7};
const std::vector<int64_t> kStep = {200};

absl::Status write_small(const std::string& prefix) {
  return write_tensor_bundle(prefix, {{"conv/kernel", TensorDtype::kFloat32, {2, 2, 1, 2}, bytes_of(kKernel)},
                                      {"global_step", TensorDtype::kInt64, {}, bytes_of(kStep)},
                                      {"conv/bias", TensorDtype::kFloat32, {3}, bytes_of(kBias)}});
}

// Opens and reads everything: the first error, or OK.
absl::Status read_all(const std::string& path) {
  auto reader = TensorBundleReader::open(path);
  if (!reader.ok()) return reader.status();
  for (const auto& [name, entry] : (*reader)->entries()) {
    std::vector<char> bytes(entry.size_bytes);
    LOCKSTEP_RETURN_IF_ERROR((*reader)->read_bytes(name, bytes));
  }
  return absl::OkStatus();
}

std::string to_hex(const std::string& bytes) {
  std::string hex;
  for (const char c : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return hex;
}

std::string index_of(const std::string& prefix) { return prefix + ".index"; }
std::string data_of(const std::string& prefix) { return prefix + ".data-00000-of-00001"; }

class TensorBundle : public testing::Test {
 protected:
  TensorBundle() { EXPECT_TRUE(write_small(prefix_).ok()); }

  const TmpDir dir_;
  const std::string prefix_ = dir_.file("model.ckpt-200");
};

TEST_F(TensorBundle, RoundTripKeepsNamesShapesTypesAndValues) {
  auto reader = TensorBundleReader::open(prefix_);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ((*reader)->entries().size(), 3u);
  EXPECT_THAT((*reader)->entries().at("conv/kernel").shape, ElementsAre(2, 2, 1, 2));
  std::vector<float> kernel(8);
  ASSERT_TRUE((*reader)->read("conv/kernel", kernel).ok());
  EXPECT_EQ(kernel, kKernel);
  std::vector<float> bias(3);
  ASSERT_TRUE((*reader)->read("conv/bias", bias).ok());
  EXPECT_EQ(bias, kBias);
  auto step = (*reader)->read_int64("global_step");
  ASSERT_TRUE(step.ok());
  EXPECT_EQ(*step, kStep);
  EXPECT_TRUE((*reader)->entries().at("global_step").shape.empty());
}

TEST_F(TensorBundle, DataFileIsTheTensorsInNameOrder) {
  EXPECT_EQ(slurp(data_of(prefix_)),
            std::string(bytes_of(kBias)) + std::string(bytes_of(kKernel)) + std::string(bytes_of(kStep)));
}

// What TensorFlow 2.21 writes for these tensors; docs/formats/checkpoint.md explains every byte.
TEST_F(TensorBundle, IndexHasTheBytesThatTensorFlowWrites) {
  const std::string hex =
      "00000608011a020801"
      "00090f636f6e762f626961730801120412020803280c358050b843"
      "05061d6b65726e656c0801121012020802120208021202080112020802200c2820351ffa837c"
      "000b0d676c6f62616c5f7374657008091200202c280835fdaa9078"
      "0000000001000000"
      "000f8730cb"
      "000000000100000000c0f2a1b0"
      "00010268006d0000000001000000005e013bc9"
      "72087f0e00000000000000000000000000000000000000000000000000000000000000000000000057fb808b247547db";
  EXPECT_EQ(to_hex(slurp(index_of(prefix_))), hex);
}

TEST_F(TensorBundle, AnyFileOfTheSetNamesIt) {
  for (const std::string& path : {prefix_, index_of(prefix_), data_of(prefix_), prefix_ + ".meta", dir_.path()}) {
    auto found = bundle_prefix(path);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(*found, prefix_);
  }
}

TEST_F(TensorBundle, CheckpointFileAndItsDirectoryNameTheNewest) {
  ASSERT_TRUE(write_small(dir_.file("model.ckpt-100")).ok());
  spill(dir_.file("checkpoint"), "model_checkpoint_path: \"model.ckpt-100\"\n");
  EXPECT_EQ(bundle_prefix(dir_.path()).value_or("?"), dir_.file("model.ckpt-100"));
  EXPECT_EQ(bundle_prefix(dir_.file("checkpoint")).value_or("?"), dir_.file("model.ckpt-100"));
}

TEST_F(TensorBundle, WrongPathsSayWhatWasExpectedAndWhatThereIs) {
  const auto message = [](const std::string& path) { return std::string(bundle_prefix(path).status().message()); };
  EXPECT_THAT(message(dir_.file("model.ckpt-20")), HasSubstr("did you mean `model.ckpt-200`?"));
  EXPECT_THAT(message(dir_.file("none/model.ckpt-2")), HasSubstr("no checkpoint at all"));
  const TmpDir empty;
  EXPECT_THAT(message(empty.path()), HasSubstr("no checkpoint in this directory"));
  spill(empty.file("weights.npz"), "x");
  EXPECT_THAT(message(empty.file("weights.npz")), HasSubstr("a file that does not belong to a checkpoint"));
  ASSERT_TRUE(write_small(dir_.file("model.ckpt-100")).ok());
  EXPECT_THAT(message(dir_.path()), HasSubstr("name one of them"));
  spill(dir_.file("checkpoint"), "model_checkpoint_path: \"model.ckpt-7\"\n");
  EXPECT_THAT(message(dir_.path()), HasSubstr("names `model.ckpt-7`, but there is no"));
}

TEST_F(TensorBundle, IndexCutAnywhereIsAnError) {
  for_each_cut(slurp(index_of(prefix_)), [&](const std::string& damaged, size_t length) {
    spill(index_of(prefix_), damaged);
    const absl::Status status = read_all(prefix_);
    EXPECT_TRUE(absl::IsDataLoss(status)) << length << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("model.ckpt-200.index: offset"));
  });
}

TEST_F(TensorBundle, DataCutAnywhereIsAnError) {
  const std::string whole = slurp(data_of(prefix_));
  for_each_cut(whole, [&](const std::string& damaged, size_t length) {
    spill(data_of(prefix_), damaged);
    EXPECT_THAT(std::string(read_all(prefix_).message()), HasSubstr(fmt::format("expected {} bytes", whole.size())))
        << length;
  });
}

TEST_F(TensorBundle, AnyFlippedBitIsFound) {
  for (const std::string& path : {index_of(prefix_), data_of(prefix_)}) {
    const std::string whole = slurp(path);
    for_each_bit_flip(
        whole,
        [&](const std::string& damaged, size_t bit) {
          spill(path, damaged);
          EXPECT_FALSE(read_all(prefix_).ok()) << path << ", bit " << bit;
        },
        7);  // every byte
    spill(path, whole);
    ASSERT_TRUE(read_all(prefix_).ok());
  }
}

TEST_F(TensorBundle, TrailingBytesAreErrors) {
  for (const std::string& path : {index_of(prefix_), data_of(prefix_)}) {
    const std::string whole = slurp(path);
    spill(path, whole + "x");
    EXPECT_TRUE(absl::IsDataLoss(read_all(prefix_))) << path;
    spill(path, whole);
  }
}

TEST_F(TensorBundle, MissingDataFileIsNamed) {
  ASSERT_TRUE(remove_file(data_of(prefix_)).ok());
  EXPECT_THAT(std::string(read_all(prefix_).message()), HasSubstr("data-00000-of-00001: cannot open"));
}

TEST_F(TensorBundle, ReadErrorsTravelUp) {
  FailReadsAt faults(".data-", 4);
  const ScopedFileHooks hooks(&faults);
  EXPECT_THAT(std::string(read_all(prefix_).message()), HasSubstr("cannot read at offset 0"));
}

TEST_F(TensorBundle, WrongUseIsExplained) {
  auto reader = TensorBundleReader::open(prefix_);
  ASSERT_TRUE(reader.ok());
  std::vector<float> three(3);
  const auto message = [](const absl::Status& status) { return std::string(status.message()); };
  EXPECT_THAT(message((*reader)->read("conv/bais", three)), HasSubstr("did you mean `conv/bias`?"));
  EXPECT_THAT(message((*reader)->read("global_step", three)), HasSubstr("expected float32, found int64 ()"));
  EXPECT_THAT(message((*reader)->read("conv/kernel", three)), HasSubstr("(2, 2, 1, 2)"));
  EXPECT_THAT(message((*reader)->read_int64("conv/bias").status()), HasSubstr("found float32 (3)"));
  EXPECT_THAT(message((*reader)->read_strings("conv/bias").status()), HasSubstr("expected string"));
}

TEST_F(TensorBundle, WriterRefusesTensorsThatDoNotFit) {
  const auto write = [&](std::vector<BundleTensor> tensors) {
    return write_tensor_bundle(prefix_, std::move(tensors));
  };
  const std::string before = slurp(index_of(prefix_));
  EXPECT_TRUE(absl::IsInvalidArgument(write({{"a", TensorDtype::kFloat32, {4}, bytes_of(kBias)}})));
  EXPECT_TRUE(absl::IsInvalidArgument(write({{"a", TensorDtype::kFloat32, {-3}, bytes_of(kBias)}})));
  EXPECT_TRUE(absl::IsInvalidArgument(write({{"", TensorDtype::kFloat32, {3}, bytes_of(kBias)}})));
  EXPECT_TRUE(absl::IsInvalidArgument(
      write({{"a", TensorDtype::kFloat32, {3}, bytes_of(kBias)}, {"a", TensorDtype::kFloat32, {3}, bytes_of(kBias)}})));
  EXPECT_EQ(slurp(index_of(prefix_)), before);
}

TEST_F(TensorBundle, FilesAreSafeOnDiskBeforeTheyGetTheirName) {
  FileOpLog log;
  const ScopedFileHooks hooks(&log);
  ASSERT_TRUE(write_small(dir_.file("m")).ok());
  const std::string tmp = fmt::format(".tmp.{}", ::getpid());
  std::vector<std::string> expected;
  for (const std::string name : {"m.data-00000-of-00001", "m.index"}) {
    for (const char* op : {"create ", "write ", "sync ", "close "}) expected.push_back(op + name + tmp);
    expected.push_back("rename " + name);
    expected.push_back("sync_directory " + base_name(dir_.path()));
  }
  EXPECT_EQ(log.lines(), expected);
}

TEST_F(TensorBundle, FullDiskLeavesTheOldBundleAndNoTemporaryFile) {
  const size_t data_bytes = slurp(data_of(prefix_)).size();
  for (const size_t left : {size_t{0}, data_bytes - 1, data_bytes, data_bytes + 20}) {
    NoSpaceAfter faults(left);
    const ScopedFileHooks hooks(&faults);
    const absl::Status status = write_small(prefix_);
    EXPECT_THAT(std::string(status.message()), HasSubstr("No space left")) << left;
    EXPECT_EQ(list_directory(dir_.path())->size(), 2u);
  }
  EXPECT_TRUE(read_all(prefix_).ok());
}

TEST(TensorBundleLarge, VisitingATensorStreamsItAndChecksItsSum) {
  TmpDir dir;
  std::vector<float> values(700'000);
  std::iota(values.begin(), values.end(), 0.0f);
  const std::string prefix = dir.file("big");
  ASSERT_TRUE(write_tensor_bundle(prefix, {{"w", TensorDtype::kFloat32, {700'000}, bytes_of(values)}}).ok());
  std::string seen;
  size_t pieces = 0;
  const auto collect = [&](std::string_view piece) {
    EXPECT_LE(piece.size(), 1u << 20);
    EXPECT_EQ(piece.size() % sizeof(float), 0u);
    seen += piece;
    ++pieces;
  };
  const auto reader = TensorBundleReader::open(prefix).value();
  EXPECT_TRUE(reader->visit_bytes("w", collect).ok());
  EXPECT_EQ(seen, bytes_of(values));
  EXPECT_EQ(pieces, 3u);
  EXPECT_TRUE(absl::IsNotFound(reader->visit_bytes("v", collect)));

  spill(data_of(prefix), with_bit_flipped(slurp(data_of(prefix)), 2'700'000, 4));
  const absl::Status damaged = TensorBundleReader::open(prefix).value()->visit_bytes("w", collect);
  EXPECT_TRUE(absl::IsDataLoss(damaged));
  EXPECT_THAT(std::string(damaged.message()), HasSubstr("tensor `w` at offset 0: expected masked CRC"));
}

TEST(TensorBundleLarge, ManyTensorsSpanSeveralBlocks) {
  const TmpDir dir;
  std::vector<BundleTensor> tensors;
  std::vector<float> values(9000);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i);
    const std::string name = fmt::format("layer_{:05}/a_rather_long_name_of_a_variable_{}", i, i * i);
    tensors.push_back({name, TensorDtype::kFloat32, {}, bytes_of(std::span<const float>(values).subspan(i, 1))});
  }
  ASSERT_TRUE(write_tensor_bundle(dir.file("m"), tensors).ok());
  ASSERT_GT(slurp(dir.file("m.index")).size(), 2u * 262144);
  auto reader = TensorBundleReader::open(dir.file("m"));
  ASSERT_TRUE(reader.ok()) << reader.status();
  ASSERT_EQ((*reader)->entries().size(), values.size());
  for (size_t i = 0; i < values.size(); i += 999) {
    float value = -1;
    ASSERT_TRUE((*reader)->read(tensors[i].name, std::span(&value, 1)).ok());
    EXPECT_EQ(value, values[i]);
  }
}

}  // namespace
}  // namespace lockstep
