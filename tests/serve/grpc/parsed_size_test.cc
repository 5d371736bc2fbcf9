// SPDX-License-Identifier: Apache-2.0
// Requests that take much more memory than bytes are refused before they are parsed.
#include "serve/grpc/parsed_size.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <future>
#include <random>
#include <string>

#include "io/protobuf_bytes.h"
#include "serve/grpc/proto/serving.pb.h"
#include "tests/serve/grpc/service_fixture.h"
#include "tests/support/sanitizer.h"

namespace lockstep {
namespace {

namespace serving = tensorflow::serving;
using ::testing::HasSubstr;

constexpr int64_t kNoBound = int64_t{1} << 50;

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

std::string field(int number, const std::string& content) {
  return varint(static_cast<uint64_t>(number) * 8 + 2) + varint(content.size()) + content;
}

std::string many(const std::string& bytes, size_t size) {
  std::string all;
  while (all.size() < size) all += bytes;
  return all;
}

template <typename Message>
void expect_bounded(const std::string& bytes, const std::string& what) {
  Message message;
  if (!parse_protobuf(bytes, &message)) return;
  const auto bound = bound_parsed_size(bytes, *Message::descriptor(), kNoBound);
  ASSERT_TRUE(bound.ok()) << what << ": " << bound.status();
  EXPECT_GE(*bound, static_cast<int64_t>(message.SpaceUsedLong())) << what;
}

// Fields of all kinds, right and wrong ones, within each other.
std::string random_message(std::mt19937& random, int depth) {
  std::string bytes;
  for (auto left = random() % 12; left > 0; --left) {
    const uint64_t number = 1 + random() % 18;
    switch (random() % 6) {
      case 0:
        bytes += varint(number * 8) + varint(random() % 3 == 0 ? ~uint64_t{0} : random() % 300);
        break;
      case 1:
        bytes += varint(number * 8 + 1) + std::string(8, 'd');
        break;
      case 2:
        bytes += varint(number * 8 + 5) + std::string(4, 'f');
        break;
      case 3:
        bytes += varint(number * 8 + 3) + random_message(random, std::max(depth - 1, 0)) + varint(number * 8 + 4);
        break;
      default:
        bytes += field(static_cast<int>(1 + random() % 8),
                       depth == 0 ? std::string(random() % 40, '\1') : random_message(random, depth - 1));
    }
  }
  return bytes;
}

TEST(ParsedSize, IsABoundForWhateverIsParsed) {
  std::mt19937 random(7);
  for (int i = 0; i < 3000; ++i) {
    const std::string bytes = random_message(random, static_cast<int>(random() % 5));
    expect_bounded<serving::ClassificationRequest>(bytes, "classification " + std::to_string(i));
    expect_bounded<serving::PredictRequest>(bytes, "predict " + std::to_string(i));
    expect_bounded<proto::TensorProto>(bytes, "tensor " + std::to_string(i));
    expect_bounded<serving::Features>(bytes, "features " + std::to_string(i));
    expect_bounded<serving::GetModelMetadataRequest>(bytes, "metadata " + std::to_string(i));
  }
}

const std::string kNothing = field(1, "");
constexpr size_t kSize = 1 << 20;

TEST(ParsedSize, IsABoundForMuchOfTheSame) {
  expect_bounded<serving::ClassificationRequest>(field(2, field(1, many(kNothing, kSize))), "examples");
  expect_bounded<serving::ClassificationRequest>(field(2, field(1, many(field(1, field(1, kNothing)), kSize))),
                                                 "features");
  std::string entries;
  for (int i = 0; i < 100000; ++i) entries += field(1, field(1, std::to_string(i)));
  expect_bounded<serving::Features>(entries, "map");
  expect_bounded<serving::PredictRequest>(field(2, field(2, field(2, many(field(2, ""), kSize)))), "sizes");
  expect_bounded<proto::TensorProto>(many(field(8, ""), kSize), "strings");
  expect_bounded<proto::TensorProto>(many(field(8, std::string(16, 's')), kSize), "longer strings");
  expect_bounded<proto::TensorProto>(field(10, std::string(kSize + 1, '\1')), "packed");
  expect_bounded<proto::TensorProto>(many(varint(80) + varint(1), kSize), "not packed");
  expect_bounded<proto::TensorProto>(many(varint(8000) + varint(1), kSize), "unknown numbers");
  expect_bounded<proto::TensorProto>(many(field(1000, ""), kSize), "unknown texts");
  expect_bounded<proto::TensorProto>(many(varint(8003) + varint(8004), kSize), "unknown groups");
}

TEST(ParsedSize, BytesThatAreNoMessageAreRefused) {
  for (const std::string& bytes : {std::string("\x0a"),
                                   std::string("\x0a\x05"
                                               "abc"),
                                   std::string("\x00\x00", 2), std::string("\x0c"), std::string("\x0b"),
                                   std::string("\x0f"), std::string(11, '\xff'), field(2, "\x0a\x05")}) {
    EXPECT_EQ(check_parsed_size(bytes, *serving::ClassificationRequest::descriptor()).code(),
              absl::StatusCode::kInvalidArgument);
  }
}

class AmplifiedRequests : public ServiceFixture {
 protected:
  absl::Status ask(const std::string& method, std::string body) {
    std::promise<absl::Status> answer;
    const auto now = Clock::now();
    handler_({"/tensorflow.serving.PredictionService/" + method, std::move(body), now, now + std::chrono::seconds(30)},
             [&](const absl::StatusOr<std::string>& given) { answer.set_value(given.status()); });
    return answer.get_future().get();
  }
};

int64_t most_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * int64_t{1024};
}

TEST_F(AmplifiedRequests, AreRefusedBeforeTheyTakeTheirMemory) {
  constexpr size_t kBytes = 16 << 20;
  const int64_t before = most_resident_bytes();
  for (const auto& [method, body] : {std::pair("Classify", field(2, field(1, many(kNothing, kBytes)))),
                                     {"Classify", field(2, field(2, many(kNothing, kBytes)))},
                                     {"Predict", many(field(2, ""), kBytes)},
                                     {"Predict", field(2, field(2, field(2, many(field(2, ""), kBytes))))},
                                     {"Predict", field(2, field(2, many(field(8, ""), kBytes)))},
                                     {"Predict", many(varint(8000) + varint(1), kBytes)},
                                     {"GetModelMetadata", many(field(2, ""), kBytes)}}) {
    const absl::Status status = ask(method, body);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("too many small elements"));
  }
  // All bodies are there at the same time, and a copy of one. AddressSanitizer keeps 256 MB of what was freed.
  if (!kUnderAddressSanitizer) {
    EXPECT_LT(most_resident_bytes() - before, int64_t{20} * static_cast<int64_t>(kBytes));
  }
}

TEST_F(AmplifiedRequests, ManySmallExamplesAreTaken) {
  serving::ClassificationRequest request;
  for (int i = 0; i < 10000; ++i) {
    serving::Feature& feature = (*request.mutable_input()
                                      ->mutable_example_list()
                                      ->add_examples()
                                      ->mutable_features()
                                      ->mutable_feature())["inputs"];
    feature.mutable_float_list()->add_value(1);
  }
  EXPECT_TRUE(check_parsed_size(request.SerializeAsString(), *request.GetDescriptor()).ok());
  proto::TensorProto pixels;
  for (int i = 0; i < 10000 * 784; ++i) pixels.add_int_val(1);
  EXPECT_TRUE(check_parsed_size(pixels.SerializeAsString(), *pixels.GetDescriptor()).ok());
}

}  // namespace
}  // namespace lockstep
