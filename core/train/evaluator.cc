// SPDX-License-Identifier: Apache-2.0
#include "core/train/evaluator.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/train/file_watch.h"

namespace lockstep {
namespace {

struct BatchSums {
  int64_t batch = 0;
  int64_t correct = 0;
  double loss = 0;
};

template <typename T>
std::string to_blob(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

// Appends the values of every rank.
template <typename T>
absl::StatusOr<std::vector<T>> gather(Communicator& communicator, const std::vector<T>& mine) {
  LOCKSTEP_ASSIGN_OR_RETURN(const auto blobs, communicator.all_gather(to_blob(mine)));
  std::vector<T> all;
  for (const std::string& blob : blobs) {
    const size_t count = blob.size() / sizeof(T);
    all.resize(all.size() + count);
    if (count > 0) std::memcpy(all.data() + all.size() - count, blob.data(), count * sizeof(T));
  }
  return all;
}

// One rank's share of an evaluation.
class Share {
 public:
  Share(Communicator& communicator, Classifier& classifier, const Dataset& data, const EvalOptions& options)
      : communicator_(communicator), classifier_(classifier), data_(data), options_(options) {}

  absl::Status evaluate_batch(int64_t batch, int64_t begin, int64_t end) {
    BatchSums sums{.batch = batch};
    // As many as fit at a time: an example's loss does not depend on its neighbours.
    for (int64_t at = begin; at < end; at += classifier_.capacity()) {
      LOCKSTEP_RETURN_IF_ERROR(evaluate_pass(at, std::min(end, at + classifier_.capacity()), &sums));
    }
    sums_.push_back(sums);
    return absl::OkStatus();
  }

  const std::vector<BatchSums>& sums() const { return sums_; }
  const std::vector<Mistake>& mistakes() const { return mistakes_; }

 private:
  absl::Status evaluate_pass(int64_t begin, int64_t end, BatchSums* sums) {
    const auto examples = static_cast<size_t>(end - begin);
    indices_.resize(examples);
    std::iota(indices_.begin(), indices_.end(), begin);
    images_.resize(examples * static_cast<size_t>(data_.shape().size()));
    labels_.resize(examples);
    losses_.resize(examples);
    {
      const FileWatch streaming(communicator_, options_.file_patience_s);
      LOCKSTEP_RETURN_IF_ERROR(data_.read(indices_, images_.data(), labels_.data()));
    }
    logits_.resize(examples * static_cast<size_t>(classifier_.classes()));
    communicator_.note_progress();
    LOCKSTEP_RETURN_IF_ERROR(
        classifier_.classify(end - begin, images_.data(), labels_.data(), losses_.data(), logits_.data()));
    for (size_t i = 0; i < examples; ++i) add_example(i, sums);
    return absl::OkStatus();
  }

  void add_example(size_t i, BatchSums* sums) {
    const int classes = classifier_.classes();
    const float* logits = logits_.data() + i * static_cast<size_t>(classes);
    const auto predicted = static_cast<int32_t>(std::max_element(logits, logits + classes) - logits);
    sums->loss += static_cast<double>(losses_[i]);
    if (predicted == labels_[i]) {
      ++sums->correct;
    } else if (mistakes_.size() < static_cast<size_t>(options_.max_mistakes)) {
      mistakes_.push_back({indices_[i], labels_[i], predicted});
    }
  }

  Communicator& communicator_;
  Classifier& classifier_;
  const Dataset& data_;
  const EvalOptions& options_;
  std::vector<int64_t> indices_;
  std::vector<uint8_t> images_;
  std::vector<int32_t> labels_;
  std::vector<float> losses_, logits_;
  std::vector<BatchSums> sums_;
  std::vector<Mistake> mistakes_;
};

}  // namespace

absl::StatusOr<EvalResult> evaluate(Communicator& communicator, Classifier& classifier, const Dataset& data,
                                    const EvalOptions& options) {
  const int64_t most = (data.size() + options.batch_size - 1) / options.batch_size;
  const int64_t batches = options.steps == 0 ? most : std::min(options.steps, most);
  Share share(communicator, classifier, data, options);
  for (int64_t batch = communicator.rank(); batch < batches; batch += communicator.size()) {
    const int64_t begin = batch * options.batch_size;
    LOCKSTEP_RETURN_IF_ERROR(share.evaluate_batch(batch, begin, std::min(data.size(), begin + options.batch_size)));
  }
  LOCKSTEP_ASSIGN_OR_RETURN(auto sums, gather(communicator, share.sums()));
  LOCKSTEP_ASSIGN_OR_RETURN(auto mistakes, gather(communicator, share.mistakes()));
  std::sort(sums.begin(), sums.end(), [](const BatchSums& a, const BatchSums& b) { return a.batch < b.batch; });
  std::sort(mistakes.begin(), mistakes.end(), [](const Mistake& a, const Mistake& b) { return a.index < b.index; });
  mistakes.resize(std::min(mistakes.size(), static_cast<size_t>(options.max_mistakes)));

  EvalResult result{.examples = std::min(data.size(), batches * options.batch_size), .mistakes = std::move(mistakes)};
  int64_t correct = 0;
  double loss = 0;
  for (const BatchSums& sum : sums) {
    correct += sum.correct;
    loss += sum.loss;
  }
  if (result.examples > 0) {
    result.accuracy = static_cast<double>(correct) / static_cast<double>(result.examples);
    result.loss = loss / static_cast<double>(result.examples);
  }
  return result;
}

}  // namespace lockstep
